"""A folder of bad input with the process that runs commands in it."""

import os
import sys
from pathlib import Path

from tests import processes
from tests.forks import SURROUNDINGS, Answer, Request, Server


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
        own_mounts = processes.run(["unshare", "-m", "true"], seconds=30).returncode == 0
        command = [sys.executable, "-m", "tests.bad_input.server", str(text), "mounts" if own_mounts else "none"]
        self._server = Server(["unshare", "-m", *command] if own_mounts else command, folder)
        self.mounted = bool(self._server.ready["mounted"])

    def run(self, *words: str, file_bytes: int | None = None, env: dict[str, str] | None = None) -> Answer:
        """A command in the folder, in a fork.

        Args:
            words: the command and its words.
            file_bytes: what a file may have at most.
            env: variables of its environment.
        """
        added = {**SURROUNDINGS, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", **(env or {})}
        environment = {**os.environ, **added}
        return self._server.ask(
            Request(words=list(words), cwd=None, env=environment, file_bytes=file_bytes, seconds=processes.SECONDS)
        )

    def close(self) -> None:
        self._server.close()
