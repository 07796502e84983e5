"""Commands in forks of a process that has everything imported: half a second each, instead of six.

For tests of what a command does. Those of how a shell starts it, and those that send it signals, start a process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TypedDict

from tests import processes

REPOSITORY = Path(__file__).resolve().parents[1]
SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}",  # for callbacks that tests bring along
}
"""Variables of the environment of all that is run."""


class Request(TypedDict):
    """A command, and in which surroundings.

    Attributes:
        words: the command and its words.
        cwd: the working folder; None for that of the server.
        env: the environment.
        file_bytes: what a file may have at most, as on a disk that is full; None for any size.
        seconds: after which it is killed.
    """

    words: list[str]
    cwd: str | None
    env: dict[str, str]
    file_bytes: int | None
    seconds: float


class Answer(TypedDict):
    """How it ended.

    Attributes:
        status: the exit status; minus the number of the signal that killed it.
        output: what it wrote to standard output.
        error: what it wrote to standard error.
    """

    status: int
    output: str
    error: str


class Server:
    """A process that answers each request in a fork.

    Args:
        command: starts it; it tells a line of JSON when it is ready.
        folder: in which it works.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = processes.start(
            command,
            serves=True,
            cwd=folder,
            env={**os.environ, **SURROUNDINGS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._line(processes.SECONDS)

    def ask(self, request: Request) -> Answer:
        """Run a command."""
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer: Answer = self._line(request["seconds"] + 30)  # type: ignore[assignment]
        return answer

    def close(self) -> None:
        processes.end(self._process)

    def _line(self, seconds: float) -> dict[str, object]:
        with processes.limited(self._process, seconds):
            line = self._process.stdout.readline()  # type: ignore[union-attr]
        assert line, f"the server has ended with status {self._process.wait(timeout=60)}"
        found: dict[str, object] = json.loads(line)
        return found


_servers: list[Server] = []


def run(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = processes.SECONDS
) -> "subprocess.CompletedProcess[str]":
    """A command in a folder, with the environment of this process and what is added to it."""
    if not _servers:
        _servers.append(Server([sys.executable, "-m", "tests.fork_server"], REPOSITORY))
    environment = {**os.environ, **SURROUNDINGS, **(env or {})}
    answer = _servers[0].ask(
        Request(words=list(words), cwd=str(cwd), env=environment, file_bytes=None, seconds=seconds)
    )
    return subprocess.CompletedProcess(list(words), answer["status"], answer["output"], answer["error"])


def close() -> None:
    """At the end of the session."""
    while _servers:
        _servers.pop().close()
