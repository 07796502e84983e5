"""Runs blocks of the tutorials in the present folder, each command in a fork: `tests.docs.shell BLOCKS.json` of
`tests.forks`.

The file holds a list of pairs: `bash` or `python`, and the block. It stops at the first that fails, with its output
and the exit status 1, and tells the seconds of each command.
"""

import json
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.docs.tutorials import small
from tests.fork_server import COMMANDS, be_a_program
from tests.launch.forked import end


def command(words: list[str]) -> int:
    """Run a command of cloze's; in a fork."""
    sys.argv = small(words[1:] if words[0] == "python" else words)
    if any(word.startswith("hardware.devices=") for word in words):  # its further processes are started as this one was
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return COMMANDS[sys.argv[0]]() or 0


def script(text: str) -> int:
    """Run a block of Python; in a fork."""
    exec(compile(text, "block", "exec"), {"__name__": "__main__"})
    return 0


def in_fork(work: Callable[[], int]) -> tuple[int, str]:
    """The exit status and all that was told."""
    log = Path("block.log")
    child = os.fork()
    if child == 0:
        status = 1
        be_a_program()
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            status = work()
        except SystemExit as early:
            status = early.code if isinstance(early.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return end(child), log.read_text(encoding="utf-8")


def works(language: str, block: str) -> list[tuple[str, Callable[[], int]]]:
    """What a block consists of: its commands, or itself."""
    if language == "python":
        return [(block, lambda: script(block))]
    lines = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
    return [(" ".join(words), lambda words=words: command(words)) for words in lines if words]  # type: ignore[misc]


def main(blocks: Path) -> None:
    """Run them in their order."""
    for language, block in json.loads(blocks.read_text(encoding="utf-8")):
        for name, work in works(language, block):
            began = time.monotonic()
            status, told = in_fork(work)
            print(f"{time.monotonic() - began:5.1f} s  {name.splitlines()[0]}", flush=True)
            if status:
                sys.exit(f"exit status {status} of\n{name}\n{told}")
