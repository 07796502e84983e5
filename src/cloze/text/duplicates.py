"""Find exact duplicates among any number of 64-bit hashes in bounded memory; choose held-out documents by hash.

Hashes go to files by range; each range fits into memory and is searched alone. The answer depends on their order only:
the first occurrence is never a duplicate. A chance collision of two different lines is expected once in a corpus of
six billion lines (birthday bound, n^2 / 2^65).
"""

import atexit
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np

from cloze.errors import InputError
from cloze.files.remote import Location, RemotePath, fetch_folder
from cloze.text.parts import read_hashes

HASHES_IN_MEMORY = 4_000_000
"""Hashes of one range; searching it takes about 50 bytes for each."""


def find_duplicates(
    hashes: Iterable[np.ndarray],
    total: int,
    folder: Path,
    hashes_in_memory: int = HASHES_IN_MEMORY,
    chosen: Iterable[np.ndarray | None] = repeat(None),
) -> int:
    """Finds which hashes occurred before.

    Args:
        hashes: uint64 arrays, in the order of the corpus.
        total: how many hashes there are in all.
        folder: gets one file a range, ``range-*.npy``: the sorted positions of its duplicates, for
            `duplicated_positions`.
        hashes_in_memory: how many to hold at once, on average.
        chosen: bool arrays that go with these, of those that count; None where all do.

    Returns:
        The number of duplicates.
    """
    folder.mkdir(parents=True)
    ranges = total // hashes_in_memory + 1
    partition(hashes, ranges, folder, chosen)
    found = 0
    for index in range(ranges):
        keyed = np.fromfile(folder / f"hashes-{index:05d}", np.uint64).reshape(-1, 2)
        order = np.argsort(keyed[:, 0], kind="stable")
        ordered = keyed[order, 0]
        later = order[1:][ordered[1:] == ordered[:-1]]  # the sort is stable: all but the first of equal ones
        np.save(folder / f"range-{index:05d}.npy", np.sort(keyed[later, 1]))
        (folder / f"hashes-{index:05d}").unlink()
        found += len(later)
    return found


def partition(
    hashes: Iterable[np.ndarray], ranges: int, folder: Path, chosen: Iterable[np.ndarray | None] = repeat(None)
) -> None:
    """Appends each hash and its position to the file of its range, ``hashes-*``."""
    position = 0
    with ExitStack() as stack:
        files = [stack.enter_context((folder / f"hashes-{index:05d}").open("wb")) for index in range(ranges)]
        for batch, counts in zip(hashes, chosen, strict=False):
            keyed = np.stack([batch, np.arange(position, position + len(batch), dtype=np.uint64)], axis=1)
            position += len(batch)
            if counts is not None:
                batch, keyed = batch[counts], keyed[counts]
            of = (batch >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)
            for index in np.unique(of):
                files[index].write(keyed[of == index].tobytes())


def duplicated_positions(folder: Path, start: int, stop: int) -> np.ndarray:
    """Mask (stop - start,) of the positions in ``start:stop`` whose hash occurred before."""
    mask = np.zeros(stop - start, bool)
    for path in sorted(folder.glob("range-*.npy")):
        positions = np.load(path, mmap_mode="r")
        first, last = np.searchsorted(positions, np.array([start, stop], np.uint64))
        mask[(positions[first:last] - np.uint64(start)).astype(np.int64)] = True
    return mask


def local_copy(folder: RemotePath) -> Path:
    """A copy of a folder of `unfinished/` on this machine until this process ends."""
    plan = (folder.parent / "plan.json").read_bytes()  # a worker may live on while another corpus takes the folder
    return _copied(folder, plan)


@lru_cache(maxsize=2)
def _copied(folder: RemotePath, plan: bytes) -> Path:  # noqa: ARG001 - another plan, another entry
    copy = Path(mkdtemp(prefix="cloze-"))
    atexit.register(rmtree, copy, ignore_errors=True)
    return fetch_folder(folder, copy)


def heldout_below(
    fraction: float,
    paths: list[Location],
    duplicated: Path | None = None,
    chosen: Iterable[np.ndarray | None] = repeat(None),
) -> int:
    """The bound of the held-out documents' hashes; moved where it would leave either side without a document.

    Args:
        fraction: of the documents, at most a half.
        paths: of the parts.
        duplicated: the folder that tells which lines will be left out; None where none is.
        chosen: for each part (d,) bool, the documents that will not be left out; None where none is.
    """
    extremes = [found for found in _surviving_hashes(paths, duplicated, chosen) if len(found)]
    if fraction == 0 or not extremes:
        return 0
    smallest, largest = int(min(map(np.min, extremes))), int(max(map(np.max, extremes)))
    if smallest == largest:
        return 0
    return min(max(int(fraction * 2.0**64), smallest + 1), largest)


def _surviving_hashes(
    paths: list[Location], duplicated: Path | None, chosen: Iterable[np.ndarray | None]
) -> Iterator[np.ndarray]:
    """For each part, the hashes of the documents of which something will be left."""
    position = 0
    for path, of_part in zip(paths, chosen, strict=False):
        lines, offsets, documents = read_hashes(path)
        survives = np.ones(len(documents), np.bool_) if of_part is None else of_part
        if duplicated is not None:
            kept = ~duplicated_positions(duplicated, position, position + len(lines))
            survives = survives & np.logical_or.reduceat(kept, offsets[:-1])
        position += len(lines)
        yield documents[survives]


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
