"""MinHash signatures of documents, and the bands in which they are compared (Broder 1997; Lee et al. 2022).

The signatures are those of rensa (Rust; wheels for all platforms; nothing else is installed with it): 128 numbers take
it 4 us for a document of 500 words, where datasketch hashes each shingle in Python and brings scipy. Its own index is
not used: it holds all signatures in memory. It has no types.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from cloze.errors import InputError
from cloze.runtime.distribution import installation
from cloze.text.scripts import WITHOUT_SPACES

HASHES = 128
"""Numbers of a signature, of which bands are made; the standard error of an estimate of 0.8 is 0.036."""

RECALL = 0.99
"""Of the pairs whose similarity is the threshold, at least this share has a band in common."""

ALGORITHM = 2
"""Of rensa: with signatures of another one, a resumed preparation would drop other documents."""

SEED = 1

WORD = re.compile(rf"{WITHOUT_SPACES.pattern}|(?:(?!{WITHOUT_SPACES.pattern})\w)+")

SPACED_WORD = re.compile(r"\w+")

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)


class Banding(NamedTuple):
    """How signatures are split: documents that agree in all rows of a band are compared.

    Attributes:
        bands: how many there are.
        rows: numbers of each.
    """

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """Share of the pairs of this Jaccard similarity that have a band in common: 1 - (1 - s^rows)^bands."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def banding(threshold: float) -> Banding:
    """The bands with most rows, and so with the fewest comparisons, that find pairs at the threshold by `RECALL`.

    >>> banding(0.8), banding(0.5)
    (Banding(bands=21, rows=6), Banding(bands=42, rows=3))
    """
    choices = [Banding(HASHES // rows, rows) for rows in range(1, HASHES + 1)]
    return max((each for each in choices if each.recall(threshold) >= RECALL), key=lambda each: each.rows)


def check_near_duplicates(threshold: float, shingle: int) -> None:
    """Refuse settings of the search, or a machine without what it needs.

    Raises:
        InputError: a value cannot be meant, or rensa is not installed, or in a version with other signatures.
    """
    if not 0.1 <= threshold <= 1:
        raise InputError(
            f"corpus.near_duplicates={threshold}: expected a Jaccard similarity from 0.1 to 1, as 0.8, or null"
        )
    if shingle < 1:
        raise InputError(f"preparation.shingle={shingle}: expected at least 1 word")
    if (found := _minhash().ALGORITHM_VERSION) != ALGORITHM:
        raise InputError(
            f"corpus.near_duplicates needs rensa with signatures of version {ALGORITHM}, this one has {found}: "
            f"{installation('corpus')}"
        )


def shingles(lines: Sequence[str], size: int) -> np.ndarray:
    """(s,) uint64: a hash of each sequence of `size` words of a document; of all its words where there are fewer.

    Words are letters and digits in lower case, and single characters of scripts without spaces; a text without any is
    one word a line.
    """
    words: Sequence[str] = [
        word for line in lines for word in (WORD if WITHOUT_SPACES.search(line) else SPACED_WORD).findall(line.lower())
    ] or lines
    hashes = np.fromiter(map(_word_hash, words), np.uint64, len(words))
    size = min(size, len(hashes))
    found = np.zeros(len(hashes) - size + 1, np.uint64)
    for offset in range(size):
        found ^= hashes[offset : offset + len(found)]
        found *= MULTIPLIER
        found ^= found >> HALF
    return found


@lru_cache(maxsize=1 << 18)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")


def signature(lines: Sequence[str], size: int) -> np.ndarray:
    """(HASHES,) uint32: the share in which two documents agree is about the Jaccard similarity of their shingles."""
    found = shingles(lines, size)
    bounds = np.array([0, len(found)], np.uint64)
    matrix = _minhash().digest_matrix_from_flat_token_hashes(found, bounds, num_perm=HASHES, seed=SEED)
    return np.array(matrix.to_rows()[0], np.uint32)


def in_bands(signatures: Sequence[np.ndarray], split: Banding) -> np.ndarray:
    """(bands, d, rows) uint32 of d signatures; the numbers that no band needs are left out."""
    used = np.stack(signatures)[:, : split.bands * split.rows]
    return np.ascontiguousarray(used.reshape(len(signatures), split.bands, split.rows).transpose(1, 0, 2))


def _minhash() -> Any:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise InputError(
            f"corpus.near_duplicates needs the package rensa, which is not installed: {installation('corpus')}"
        ) from error
    return RMinHash
