"""A folder of bad input with the process that runs commands in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.bad_input.server import Answer, Request
from tests.conftest import REPOSITORY


class Session:
    """Starts the server; a context.

    Args:
        folder: empty, to be filled.
        text: a file of raw text.

    Attributes:
        mounted: whether `small/` and `locked/` are there.
    """

    def __init__(self, folder: Path, text: Path) -> None:
        self.folder = folder
        own_mounts = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
        command = [sys.executable, "-m", "tests.bad_input.server", str(text), "mounts" if own_mounts else "none"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            ["unshare", "-m", *command] if own_mounts else command,
            cwd=folder,
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.mounted: bool = json.loads(self._output.readline() or '{"mounted": false}')["mounted"]

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def run(self, *words: str, file_bytes: int | None = None, env: dict[str, str] | None = None) -> Answer:
        """A command in the folder, in a fork.

        Args:
            words: the command and its words.
            file_bytes: what a file may have at most.
            env: variables of its environment.
        """
        assert self._process.stdin is not None
        request = Request(words=list(words), env=env or {}, file_bytes=file_bytes)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: Answer = json.loads(self._output.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._output.close()
