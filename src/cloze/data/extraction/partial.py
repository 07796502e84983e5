"""The state of an unfinished feature extraction: complete parts, and the results so far of the current part."""

import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cloze.errors import InputError
from cloze.files.atomic import written_beside
from cloze.files.partial_output import PLAN, PartialOutput

SECONDS = 10.0
"""Between two times that a part that is not finished is kept, so that a kill costs seconds."""
DONE, END = "batches", "end"


class PartialFeatures(PartialOutput):
    """``OUTPUT.unfinished``, next to the output, which appears when all is there."""

    output: Path
    work: Path

    def __init__(self, output: Path) -> None:
        super().__init__(output, output.with_name(f"{output.name}.unfinished"))

    @property
    def at_end(self) -> bool:
        """Whether all parts are finished."""
        return self.recorded(END) is not None

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to resume from."""
        files = (self.record_file(END), self.record_file(_name(0)), self.begun(0))
        return any(file.exists() for file in files)

    def begin(self, plan: Mapping[str, Any]) -> bool:
        """As in the base; one of which nothing stands is of nothing."""
        if not self.has_begun:
            self.record_file(PLAN).unlink(missing_ok=True)
        return super().begin(plan)

    def parts(self) -> list[dict[str, Any]]:
        """The records of the finished parts, in their order."""
        found: list[dict[str, Any]] = []
        kinds = {"texts": int, "tokens": int, "next_row": int, "left_out": Counter, "notes": Counter}
        while (record := self.recorded(_name(len(found)), **kinds)) is not None:
            found.append(record)
        return found

    def add(self, number: int, record: Mapping[str, Any]) -> None:
        """Marks a part as finished."""
        self.record(_name(number), record)

    def begun(self, number: int) -> Path:
        """Of a part that is not finished: what has been computed of it."""
        return self.work / f"{_name(number)}.begun.npz"

    def end(self, left_out: Mapping[str, int]) -> None:
        """Marks all parts as finished, with the rows that were left out."""
        self.record(END, {"left_out": left_out})

    def left_out(self) -> dict[str, int]:
        """Rows that were left out, once all parts are finished."""
        found: dict[str, int] = (self.recorded(END, left_out=Counter) or {})["left_out"]
        return found

    def remove(self) -> None:
        """Removes the folder; the output stands."""
        shutil.rmtree(self.work, ignore_errors=True)


def _name(number: int) -> str:
    return f"part-{number:05d}"


@contextmanager
def partial_features(output: Path) -> Iterator[PartialFeatures]:
    """Makes the unfinished output ours for a time.

    Raises:
        InputError: the output exists, or another process is writing it.
    """
    found = PartialFeatures(output)
    if output.exists() and not found.record_file(END).exists():
        raise InputError(f"{output}: exists already; delete it, or choose another output")
    with found.locked():
        try:
            yield found
        finally:
            if not found.has_begun:
                found.remove()


class PartialPart:
    """The results of a part that is not finished, which come batch by batch, in an order that the texts alone decide.

    Args:
        file: where they are kept; None keeps nothing.
        tell: called with the share of the part that is done.
    """

    def __init__(self, file: Path | None = None, tell: Callable[[float], None] | None = None) -> None:
        self._file, self._tell = file, tell
        self._kept = time.monotonic()

    def restore(self, results: Mapping[str, np.ndarray]) -> int:
        """Fill in what was kept; returns the number of batches that it holds, 0 where there is none that fits.

        Args:
            results: by name, to be filled in place.
        """
        if self._file is None or not self._file.exists():
            return 0
        try:
            with np.load(self._file, allow_pickle=False) as kept:
                if {DONE, *results} != set(kept.files):
                    return 0
                found = {name: kept[name] for name in kept.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return 0
        if any((found[name].shape, found[name].dtype) != (into.shape, into.dtype) for name, into in results.items()):
            return 0
        for name, into in results.items():
            into[...] = found[name]
        return int(found[DONE])

    def after(self, done: int, share: float, results: Mapping[str, np.ndarray]) -> None:
        """After each batch.

        Args:
            done: batches.
            share: of the part.
            results: as they stand now.
        """
        if self._tell is not None:
            self._tell(share)
        if self._file is None or share == 1 or time.monotonic() - self._kept < SECONDS:
            return
        arrays: dict[str, Any] = {DONE: np.int64(done), **results}
        with written_beside(self._file) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        self._kept = time.monotonic()

    def remove(self) -> None:
        """The part is finished."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
