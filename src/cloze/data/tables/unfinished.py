"""The folder of an output that is not finished yet: whose it is, and which parts of it are whole."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.lock import lock_file
from cloze.text.manifest import differences

ANEW = "delete that folder, and the same command starts from scratch"
PLAN, END, LOCK = "plan.json", "end.json", "lock"


class Unfinished:
    """``OUTPUT.unfinished``, beside the output, which appears when all is there.

    Attributes:
        output: the file or folder to come.
        folder: of the parts and of the record.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.unfinished")

    @property
    def at_end(self) -> bool:
        """Whether all parts are whole."""
        return (self.folder / END).exists()

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to resume from."""
        return self.at_end or self._record(0).exists() or self.begun(0).exists()

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Starts an output, or resumes one that was stopped.

        Raises:
            InputError: the one that was stopped was of something else; names what differs.
        """
        file = self.folder / PLAN
        if not file.exists() or not self.has_begun:
            write_atomically(file, json.dumps(plan, indent=1, ensure_ascii=False).encode())
            return
        before = _read(file, {})
        if changed := differences(before, json.loads(json.dumps(plan))):
            raise InputError(
                f"{self.folder}: holds unfinished output of something else ({'; '.join(changed[:5])}); undo that "
                "change, delete the folder to start from scratch, or choose another output"
            )

    def parts(self) -> list[dict[str, Any]]:
        """The records of the parts that are whole, in their order."""
        found: list[dict[str, Any]] = []
        while (file := self._record(len(found))).exists():
            found.append(_read(file, {}))
        return found

    def add(self, number: int, record: Mapping[str, Any]) -> None:
        """Marks a part as whole; all of it must stand before."""
        write_atomically(self._record(number), json.dumps(record).encode())

    def begun(self, number: int) -> Path:
        """Of a part that is not whole: what has been computed of it."""
        return self.folder / f"part-{number:05d}.begun.npz"

    def end(self, left_out: Mapping[str, int]) -> None:
        """Marks all parts as whole, with the rows that were left out."""
        write_atomically(self.folder / END, json.dumps({"left_out": left_out}).encode())

    def left_out(self) -> dict[str, int]:
        """Rows that were left out, once all parts are whole."""
        found: dict[str, int] = _read(self.folder / END, {"left_out": dict})["left_out"]
        return found

    def remove(self) -> None:
        """Removes the folder; the output stands."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.json"


def _read(file: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    """A record.

    Raises:
        InputError: it is damaged.
    """
    try:
        found = read_json(file)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); {ANEW}") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise InputError(f"{file} is damaged; {ANEW}")
    return found


@contextmanager
def unfinished(output: Path) -> Iterator[Unfinished]:
    """Makes the unfinished output ours for a time.

    Raises:
        InputError: the output exists, or another process is writing it.
    """
    found = Unfinished(output)
    if output.exists() and not found.at_end:
        raise InputError(f"{output}: exists already; delete it, or choose another output")
    held = "is writing it; wait for it, or choose another output"
    try:
        found.folder.mkdir(parents=True, exist_ok=True)
        lock = lock_file(found.folder / LOCK, lambda holder: InputError(f"{output}: {holder} {held}"))
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); choose another output") from error
    try:
        for leftover in found.folder.glob(".*"):  # killed while writing
            leftover.unlink(missing_ok=True)
        yield found
    finally:
        if not found.has_begun:
            found.remove()
        os.close(lock)


def write_beside(path: Path) -> Path:
    """Where the content of `path` is written before it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def keep(partial: Path, path: Path) -> None:
    """Renames what is whole, once it is on the disk."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(path)
