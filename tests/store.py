"""A real S3 server on loopback, for tests."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests import processes


class Store:
    """A server of one bucket, in a process of its own; what it holds lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bucket").mkdir(parents=True)
        self.port = processes.free_port()
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
        self.process = processes.start(command, serves=True, stdout=self.log, stderr=self.log)
        processes.wait_until(self._answers, self.process)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/bucket?list-type=2", timeout=5).read()
        except OSError:
            return False
        return True

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
            processes.end(self.process)
            self.log.close()
            self.process = None
