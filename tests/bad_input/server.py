"""Runs commands in a folder of bad input, each in a fork, so that everything is imported once.

    python -m tests.bad_input.server TEXT

It works in the present folder, fills it, and then answers each line of JSON (`Request`) with one of JSON (`Answer`).
Started in a mount namespace of its own, it also has `small/`, a disk of 256 KiB, and `locked/`, which cannot be
written.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import cloze.data.stream.features
import cloze.launch.features
import cloze.launch.finetuning
import cloze.launch.prediction
import cloze.launch.pretraining  # noqa: F401 - so that a fork begins at once
from cloze.cli import convert, features, finetune, glue, predict, prepare, train
from tests.bad_input.world import make_world

COMMANDS: dict[str, Callable[[], int]] = {
    "train.py": train.main,
    "finetune.py": finetune.main,
    "cloze-prepare": prepare.main,
    "cloze-predict": predict.main,
    "cloze-features": features.main,
    "cloze-convert": convert.main,
    "cloze-glue": glue.main,
}
SECONDS = 60
"""Until a command that hangs is killed."""


class Request(TypedDict):
    """A command, and in which surroundings.

    Attributes:
        words: the command and its words.
        env: variables of the environment.
        file_bytes: what a file may have at most, as on a disk that is full; None for any size.
    """

    words: list[str]
    env: dict[str, str]
    file_bytes: int | None


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


def in_fork(work: Callable[[], int]) -> Answer:
    """Do the work in a fork, as a process of its own would."""
    output, error = _pipe(), _pipe()  # no files: a limit on the size of files would be one on messages, too
    child = os.fork()
    if child == 0:
        os.setpgrp()
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output[1], error[1])):
            os.dup2(descriptor, number)
        signal.alarm(SECONDS)
        status = 1
        try:
            status = work()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Answer(status=status, output=_text(output), error=_text(error))


def _pipe() -> tuple[int, int]:
    """A pipe that takes all that a command writes."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(reading, False)
    return reading, writing


def _text(pipe: tuple[int, int]) -> str:
    os.close(pipe[1])
    with open(pipe[0], "rb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        found = b""
        while part := stream.read(1 << 20):
            found += part
        return found.decode(errors="replace")


def run(request: Request) -> int:
    """In a fork."""
    os.environ.update(request["env"])
    if request["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the system then says EFBIG, as it says ENOSPC
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], request["file_bytes"]))
    sys.argv = list(request["words"])
    return COMMANDS[request["words"][0]]()


def mount() -> bool:
    """A small disk and a locked folder, which end with this process; False where that is not allowed."""
    for folder in ("small", "locked"):
        Path(folder).mkdir()
    try:
        for words in (
            ["-t", "tmpfs", "-o", "size=256k", "none", "small"],
            ["-t", "tmpfs", "-o", "size=256k", "none", "locked"],
            ["-o", "remount,ro", "locked"],
        ):
            subprocess.run(["mount", *words], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def make(text: str) -> int:
    """In a fork, so that no thread of torch's stands in the way of those to come."""
    make_world(text)
    return 0


def main(text: str, has_own_mounts: bool) -> None:
    """Answer until the end of standard input."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}  # the same on every machine
    made = in_fork(lambda: make(text))
    if made["status"]:
        sys.exit(f"the folder cannot be made: {made['output']}{made['error']}")
    print(json.dumps({"mounted": has_own_mounts and mount()}), flush=True)
    for line in sys.stdin:
        request: Request = json.loads(line)
        print(json.dumps(in_fork(lambda request=request: run(request))), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2] == "mounts")
