"""Signatures and bands against exact Jaccard similarities, of real text with planted near-copies."""

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.near_duplicates.signatures import (
    HASHES,
    RECALL,
    banding,
    check_near_duplicates,
    in_bands,
    shingles,
    signature,
)


def ngrams(text: str, size: int = 5) -> set[tuple[str, ...]]:
    """The shingles of plain English text, stated once more."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return {tuple(words[begin : begin + size]) for begin in range(max(1, len(words) - size + 1))}


def jaccard(one: AbstractSet[object], other: AbstractSet[object]) -> float:
    return len(one & other) / len(one | other)


def copy_of(text: str, replaced: int, rng: random.Random) -> str:
    words = text.split()
    for index in rng.sample(range(len(words)), replaced):
        words[index] = f"other{rng.randrange(1000)}"
    return " ".join(words)


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[tuple[str, str]]:
    """Paragraphs of WikiText-2, each with a copy in which 1 to 12 words are others."""
    text = (shared_data / "corpus/wikitext2/test.txt").read_text(encoding="utf-8").replace("@", "").replace("<unk>", "")
    paragraphs = [line for line in text.splitlines() if len(line.split()) > 120][:500]
    rng = random.Random(1)
    return [(paragraph, copy_of(paragraph, 1 + index % 12, rng)) for index, paragraph in enumerate(paragraphs)]


def test_signatures_estimate_the_similarity_and_bands_find_what_they_promise(pairs: list[tuple[str, str]]) -> None:
    exact = np.array([jaccard(ngrams(one), ngrams(other)) for one, other in pairs])
    signatures = np.stack([[signature([text], 5) for text in pair] for pair in pairs])  # (pairs, 2, HASHES)
    estimated = (signatures[:, 0] == signatures[:, 1]).mean(axis=1)
    errors = estimated - exact
    assert abs(errors.mean()) < 0.005
    assert errors.std() < 1.2 * np.sqrt((exact * (1 - exact)).mean() / HASHES)
    split = banding(0.8)
    one, other = (in_bands(list(signatures[:, side]), split) for side in (0, 1))
    found = (one == other).all(axis=2).any(axis=0)
    for low, high in ((0.3, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 1.0)):
        within = (low <= exact) & (exact < high)
        promised = np.array([split.recall(each) for each in exact[within]])
        assert within.sum() > 20
        assert (
            abs(found[within].mean() - promised.mean())
            < 4 * np.sqrt((promised * (1 - promised)).sum() + 1) / within.sum()
        )
    assert found[exact >= 0.8].mean() >= RECALL
    others = [(signatures[a, 0] == signatures[b, 0]).mean() for a, b in combinations(range(0, len(pairs), 5), 2)]
    assert max(others) < 0.3  # different paragraphs


@given(threshold=st.floats(0.1, 1))
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    split = banding(threshold)
    assert split.bands * split.rows <= HASHES
    assert split.recall(threshold) >= RECALL
    assert split.rows == HASHES or 1 - (1 - threshold ** (split.rows + 1)) ** (HASHES // (split.rows + 1)) < RECALL


@given(lines=st.lists(st.text(alphabet="ab c.D東京\u0e01", min_size=1), min_size=1), size=st.integers(1, 4))
def test_shingles_are_the_sequences_of_words(lines: Sequence[str], size: int) -> None:
    spaced = ["".join(f" {letter} " if letter in "東京\u0e01" else letter for letter in line) for line in lines]
    words = [word for line in spaced for word in line.lower().replace(".", " ").split()] or list(lines)
    size = min(size, len(words))
    expected = {tuple(words[begin : begin + size]) for begin in range(len(words) - size + 1)}
    assert len(set(shingles(lines, size).tolist())) == len(expected)


def test_case_and_punctuation_make_no_difference_but_order_does() -> None:
    assert np.array_equal(shingles(["A b, c!", "D e"], 3), shingles(["a B c", "d e."], 3))
    assert not set(shingles(["a b c"], 2)) & set(shingles(["b a c"], 2)) - set(shingles(["a c"], 2))


@pytest.mark.parametrize(
    ("threshold", "shingle", "message"),
    [
        (0.0, 5, "corpus.near_duplicates=0.0: expected a Jaccard similarity from 0.1 to 1, as 0.8, or null"),
        (80, 5, "corpus.near_duplicates=80: expected"),
        (0.8, 0, "preparation.shingle=0: expected at least 1 word"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(threshold: float, shingle: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_near_duplicates(threshold, shingle)
