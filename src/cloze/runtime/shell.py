"""Input from a shell or launcher: standard streams, arguments and their encoding, rank variables."""

import io
import os
import shutil
import sys
import textwrap
from typing import IO, Any

from cloze.errors import InputError, Stopped

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Variables that number a process of a run; what is printed once is printed by 0."""
NUMBERS = (
    *RANKS,
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "MASTER_PORT",
    "JSM_NAMESPACE_RANK",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_NNODES",
    "SLURM_STEP_NUM_NODES",
    "SLURM_STEP_NUM_TASKS",
)
"""Variables in which torch, Lightning and we expect a whole number."""


class ReaderLeft(Stopped):
    """The reader of standard output has closed it, as `head` does."""


class _Stream(io.FileIO):
    """A standard stream.

    Args:
        descriptor: 1 or 2.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.heard = False  # whether a failure to write is raised

    def write(self, data: Any) -> int:
        """Write, or raise what a command ends with; what follows then goes nowhere.

        Raises:
            ReaderLeft: the pipe is closed.
            InputError: the stream is closed, or its device is full.
        """
        try:
            return super().write(data)
        except OSError as error:
            if not self.heard:
                return memoryview(data).nbytes
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # what is left in buffers, or Python complains at its end
                os.dup2(nowhere.fileno(), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise ReaderLeft(0, "") from error
            raise InputError(
                f"standard output cannot be written ({error.strerror}): give it a file or a pipe that takes it"
            ) from error


def take_streams() -> None:
    """Make the standard streams of this process safe to write to.

    A message that cannot be written never ends a run: a terminal goes away, a log's disk is full. Nor do the results
    of a command, until `results_are_printed`. A descriptor that the shell has closed is taken, since the next file
    to be opened would get it and everything that libraries print; standard input then stays None.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest that is free; writing to it fails
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream: IO[str] | None = getattr(sys, name)
        if stream is None or (stream is getattr(sys, f"__{name}__") and stream.fileno() == descriptor):
            raw = _Stream(descriptor)
            wrapped = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=stream.encoding if stream else "utf-8",
                errors="backslashreplace",  # a sign that the terminal does not have ends nothing
                line_buffering=descriptor == 2 or raw.isatty(),
            )
            setattr(sys, name, wrapped)


def results_are_printed(really: bool = True) -> None:
    """From now on a failure to write to standard output ends the command."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Stream):
        raw.heard = really


def speak_utf8() -> None:
    """Start this process again where the locale has ASCII alone, in which words and names of files would be lost."""
    if sys.getfilesystemencoding().lower() in ("ascii", "646") and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def check_surroundings() -> None:
    """Look at what no key of the configuration says.

    Raises:
        InputError: a word of the command line is not UTF-8, or a variable that holds a number does not.
    """
    for word in sys.argv[1:]:
        if not _is_text(word):
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise InputError(f"the argument '{shown}' is not UTF-8: rename the file, or take another locale")
    for name in NUMBERS:
        value = os.environ.get(name)
        if value is not None and not (value.isascii() and value.isdigit()):
            raise InputError(f"{name}={value} in the environment: a whole number was expected; unset {name}")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def fitted(line: str, indent: int) -> str:
    """A line for a person: on a terminal that is narrower it is broken between words, what follows set in.

    Args:
        line: of any length; elsewhere it stays whole, for programs that read it.
        indent: blanks before what follows.
    """
    if not sys.stdout.isatty():
        return line
    width = max(indent + 20, shutil.get_terminal_size().columns)
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False, tabsize=1
    )


def rank() -> int:
    """The rank of this process as set by its launcher; 0 if that is not a number."""
    found = next((os.environ[name] for name in RANKS if name in os.environ), "0")
    return int(found) if found.isdecimal() else 0
