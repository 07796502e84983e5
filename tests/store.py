"""A real S3 server on loopback, for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class Store:
    """A server of one bucket, in a process of its own; what it holds lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bucket").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.uri = "s3://bucket"
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """By which clients find it."""
        return {
            "AWS_ACCESS_KEY_ID": "name",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def start(self) -> None:
        command = [sys.executable, "-m", "localbucket", str(self.folder), "--port", str(self.port)]
        self.log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/bucket?list-type=2", timeout=5).read()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the store does not start")

    def freeze(self) -> None:
        """Connections are taken and never answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def requests(self, words: str) -> int:
        """How many lines of its log hold these words."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text().count(words)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.process = None
