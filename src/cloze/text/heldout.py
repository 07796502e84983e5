"""Which documents are held out from training: a share of them by their hashes, or all of some parts."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.duplicates import duplicated_positions
from cloze.text.parts import read_hashes


def heldout_below(fraction: float, paths: list[Location], duplicated: Path | None) -> int:
    """The bound of the held-out documents' hashes; moved where it would leave either side without a document.

    Args:
        fraction: of the documents, at most a half.
        paths: of the parts.
        duplicated: the folder that tells which lines will be left out; None where none is.
    """
    extremes = [found for found in _surviving_hashes(paths, duplicated) if len(found)]
    if fraction == 0 or not extremes:
        return 0
    smallest, largest = int(min(map(np.min, extremes))), int(max(map(np.max, extremes)))
    if smallest == largest:
        return 0
    return min(max(int(fraction * 2.0**64), smallest + 1), largest)


def _surviving_hashes(paths: list[Location], duplicated: Path | None) -> Iterator[np.ndarray]:
    """For each part, the hashes of the documents of which something will be left."""
    position = 0
    for path in paths:
        lines, offsets, documents = read_hashes(path)
        if duplicated is not None:
            kept = ~duplicated_positions(duplicated, position, position + len(lines))
            documents = documents[np.logical_or.reduceat(kept, offsets[:-1])]
        position += len(lines)
        yield documents


@lru_cache(maxsize=1)
def heldout_hashes(work: Location, parts: tuple[str, ...]) -> np.ndarray:
    """(d,) uint64: the hashes of the documents of parts that are held out as a whole, without repetitions."""
    found = [read_hashes(work / part)[2] for part in parts]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def count_heldout(paths: list[Location], hashes: np.ndarray) -> int:
    """How many documents of the training text are the same as one that is held out.

    Args:
        paths: of the training text's parts.
        hashes: of the documents that are held out.

    Raises:
        InputError: all are.
    """
    found = [np.isin(read_hashes(path)[2], hashes) for path in paths]
    if found and all(map(np.all, found)):
        raise InputError(
            "corpus.heldout_files: every document of the training text is in them, too; give other corpus.files"
        )
    return int(sum(map(np.count_nonzero, found)))
