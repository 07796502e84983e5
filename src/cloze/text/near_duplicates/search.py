"""Find documents that have an earlier near-duplicate, a band of their signatures at a time.

The rule: held-out documents come before all others, else documents have the order of the corpus; one is dropped if its
estimated Jaccard similarity to an earlier one, dropped or not, is at the threshold or above. Of documents that such
pairs connect (the clusters of Lee et al. 2022) the first is kept, and no two that are kept are such a pair. Whether a
document is dropped depends on pairs alone, so that each band is searched by itself, by any worker.

For a million documents and a threshold of 0.8, signatures take 504 MB on disk until the corpus is finished. A worker
needs 16 MB on disk for a band, and memory for four million of its hashes at most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cloze.files.atomic import write_atomically
from cloze.files.remote import Location, RemotePath
from cloze.text.duplicates import HASHES_IN_MEMORY, local_copy, partition
from cloze.text.near_duplicates.signatures import MULTIPLIER

FOLDER = "near"
"""Of `unfinished/`: signatures, what each band found, and the verdicts."""

KEPT, REPEATED, HELDOUT = 0, 1, 2
"""Verdicts on a document: no earlier near-duplicate; one; one that is held out."""

COMPARED = 256
"""Documents whose signatures are compared with as many others at once: 8 MB."""

OPEN_FILES = 128


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What the searches of all bands have in common.

    Attributes:
        work: the folder of what is unfinished.
        parts: file names and numbers of documents, in the order of the corpus, those first that are held out as a
            whole. The signatures of each are (bands, d, rows) uint32 in a file of their own.
        threshold: an estimated Jaccard similarity.
    """

    work: Location
    parts: Sequence[tuple[str, int]]
    threshold: float


def search_band(common: Comparing, band: int) -> None:
    """Writes which documents an earlier near-duplicate has, of those that agree with it in this band."""
    path = band_file(common.work, band)
    if path.exists():
        return
    folder = common.work / FOLDER
    search = _Search(common, local_copy(folder) if isinstance(folder, RemotePath) else folder)
    found = [search.verdicts(members) for members in search.groups(band)]
    content = np.concatenate([np.empty((0, 2), np.uint64), *found])
    write_array(path, content)


def signature_file(work: Location, part: str) -> Location:
    return work / FOLDER / f"{part.removesuffix('.arrow')}.npy"


def band_file(work: Location, band: int) -> Location:
    return work / FOLDER / f"band-{band:03d}.npy"


def write_array(path: Location, content: np.ndarray) -> None:
    if isinstance(path, Path):
        path.parent.mkdir(exist_ok=True)
    sink = BytesIO()
    np.save(sink, content)
    write_atomically(path, sink.getvalue())


def read_array(path: Location) -> np.ndarray:
    """Mapped into memory; of a store, read as a whole."""
    found: np.ndarray = np.load(BytesIO(path.read_bytes())) if isinstance(path, RemotePath) else np.load(path, "r")
    return found


class _Search:
    """One band, on this machine."""

    def __init__(self, common: Comparing, folder: Path) -> None:
        self._threshold = common.threshold
        self._files = [signature_file(folder, part).name for part, _ in common.parts]
        self._firsts = np.cumsum([0, *(documents for _, documents in common.parts)])
        self._total = int(self._firsts[-1])
        self._heldout = np.load(folder / "heldout.npy", "r")  # (documents,) bool
        self._open = lru_cache(maxsize=OPEN_FILES)(lambda file: np.load(folder / file, "r").view(np.ndarray))

    def groups(self, band: int) -> Iterator[np.ndarray]:
        """(m,) int64, m > 1: positions of documents that agree in the band, held-out ones first, else in order."""
        with TemporaryDirectory(prefix="cloze-") as scratch:
            ranges = self._total // HASHES_IN_MEMORY + 1
            partition(self._keys(band), ranges, Path(scratch))
            for index in range(ranges):
                keyed = np.fromfile(Path(scratch) / f"hashes-{index:05d}", np.uint64).reshape(-1, 2)
                positions = keyed[:, 1].astype(np.int64)
                order = np.lexsort((positions, ~self._heldout[positions], keyed[:, 0]))
                hashes, positions = keyed[order, 0], positions[order]
                bounds = np.flatnonzero(np.diff(hashes)) + 1
                firsts, ends = np.concatenate([[0], bounds]), np.concatenate([bounds, [len(hashes)]])
                several = ends - firsts > 1
                for first, end in zip(firsts[several], ends[several], strict=True):
                    yield positions[first:end]

    def _keys(self, band: int) -> Iterator[np.ndarray]:
        """(d,) uint64 of each part: equal where all rows of the band agree."""
        for file in self._files:
            rows = np.asarray(self._open(file)[band], np.uint64)  # (d, rows)
            keys = np.zeros(len(rows), np.uint64)
            for column in rows.T:
                keys = (keys ^ column) * MULTIPLIER
                keys ^= keys >> np.uint64(32)
            yield keys

    def verdicts(self, members: np.ndarray) -> np.ndarray:
        """(n, 2) uint64: the positions of those with an earlier near-duplicate among the members, and the verdicts."""
        found = np.zeros(len(members), np.uint64)
        for begin in range(0, len(members), COMPARED):
            later = self._signatures(members[begin : begin + COMPARED])
            for start in range(0, begin + 1, COMPARED):  # held-out ones are compared first
                undecided = np.flatnonzero(found[begin : begin + len(later)] == KEPT)
                if not len(undecided):
                    break
                earlier = members[start : start + COMPARED]
                similar = self._similar(later[undecided], self._signatures(earlier))
                if start == begin:
                    similar &= np.arange(len(earlier)) < undecided[:, None]
                is_heldout = (similar & self._heldout[earlier]).any(axis=1)
                found[begin + undecided] = np.where(is_heldout, HELDOUT, np.where(similar.any(axis=1), REPEATED, KEPT))
        chosen = found != KEPT
        return np.stack([members[chosen].astype(np.uint64), found[chosen]], axis=1)

    def _similar(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(a, b) bool of signatures (a, k) and (b, k)."""
        agreeing = (some[:, None] == others).sum(axis=2)
        return np.asarray(agreeing >= self._threshold * some.shape[1])

    def _signatures(self, positions: np.ndarray) -> np.ndarray:
        """(n, bands * rows) uint32."""
        parts = np.searchsorted(self._firsts, positions, side="right") - 1
        rows = [
            self._open(self._files[part])[:, position - self._firsts[part]].reshape(-1)
            for part, position in zip(parts, positions, strict=True)
        ]
        return np.stack(rows)
