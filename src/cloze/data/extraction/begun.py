"""What has been computed of a part that is not whole yet: kept from time to time, so that a kill costs seconds."""

import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloze.data.tables.unfinished import keep, write_beside

SECONDS = 10.0
"""Between two times that it is kept."""
DONE = "batches"


class Begun:
    """The results of a part, which come batch by batch, in an order that the texts alone decide.

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
        partial = write_beside(self._file)
        try:
            with partial.open("wb") as stream:
                np.savez(stream, **arrays)
            keep(partial, self._file)
        finally:
            partial.unlink(missing_ok=True)
        self._kept = time.monotonic()

    def remove(self) -> None:
        """The part is whole."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
