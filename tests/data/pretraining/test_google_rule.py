"""Our compiled rule and the plain-Python statement of Google's agree in distribution on WikiText-2."""

from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.google_rule import Pair, mask, pairs_of_document
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.pairs import A_LENGTH, A_START, B_LENGTH, B_START, LABEL, next_sentence_rows
from cloze.data.pretraining.plan import BatchSize, Sequences, make_plan
from cloze.data.splitmix import IntArray, key_of
from cloze.text.shards import Shard
from tests.data.corpora import WikiText, shard_of

EPOCHS = 8
Sample = npt.NDArray[Any]


def same_distribution(one: Sample, other: Sample) -> bool:
    """Kolmogorov-Smirnov at the level 0.001 (conservative for integers)."""
    values = np.union1d(one, other)
    distance = np.abs(
        np.searchsorted(np.sort(one), values, side="right") / len(one)
        - np.searchsorted(np.sort(other), values, side="right") / len(other)
    ).max()
    return bool(distance < 1.95 * np.sqrt(1 / len(one) + 1 / len(other)))


class Comparison(NamedTuple):
    """Rows of ours and of the oracle for the same text, and the oracle's pairs."""

    shard: Shard
    ours: IntArray
    theirs: IntArray
    pairs: list[Pair]


# A short target makes many short pairs of one document: their lengths are independent only in short documents.
@pytest.fixture(scope="module", params=["articles", "paragraphs"])
def comparison(wikitext: WikiText, request: pytest.FixtureRequest) -> Comparison:
    """In the oracle's text a token is its place in the shard, so that its pairs can be read as rows."""
    shard, short = (wikitext.articles, 0.0) if request.param == "articles" else (wikitext.paragraphs, 0.1)
    ours = [
        next_sentence_rows(shard.sentence_offsets, shard.document_offsets, 125, short, key_of(1, epoch))
        for epoch in range(EPOCHS)
    ]
    sentences = [list(range(begin, end)) for begin, end in pairwise(shard.sentence_offsets.tolist())]
    documents = [sentences[begin:end] for begin, end in pairwise(shard.document_offsets.tolist())]
    rng = Random(1)
    pairs = [
        pair
        for _ in range(EPOCHS)
        for which in range(len(documents))
        for pair in pairs_of_document(documents, which, 128, short, rng)
    ]
    for pair in pairs:
        assert pair.a == list(range(pair.a[0], pair.a[0] + len(pair.a)))
        assert pair.b == list(range(pair.b[0], pair.b[0] + len(pair.b)))
    theirs = np.array([(pair.a[0], len(pair.a), pair.b[0], len(pair.b), pair.is_random) for pair in pairs])
    return Comparison(shard, np.concatenate(ours), theirs, pairs)


def test_number_of_pairs(comparison: Comparison) -> None:
    assert len(comparison.theirs) > 10_000
    assert abs(len(comparison.ours) / len(comparison.theirs) - 1) < 0.01


def test_share_of_random_next(comparison: Comparison) -> None:
    _, ours, theirs, pairs = comparison
    several = [pair.is_random for pair in pairs if pair.chunk_sentences > 1]
    assert abs(np.mean(several) - 0.5) < 4 * 0.5 / np.sqrt(len(several))
    error = np.sqrt(0.25 / len(ours) + 0.25 / len(theirs))
    assert abs(ours[:, LABEL].mean() - theirs[:, LABEL].mean()) < 4 * error


def test_share_of_random_next_is_half_without_single_sentence_chunks() -> None:
    """With 5 tokens a sentence, only the last chunk of a document may be a single sentence."""
    documents = [[5] * 2000] * 20
    shard = shard_of(documents)
    labels = np.concatenate(
        [
            next_sentence_rows(shard.sentence_offsets, shard.document_offsets, 125, 0.0, key_of(seed))[:, LABEL]
            for seed in range(5)
        ]
    )
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(labels)) + 5 * 20 / len(labels)


@pytest.mark.parametrize("label", [0, 1])
def test_lengths_and_split_points(comparison: Comparison, label: int) -> None:
    ours, theirs = (rows[rows[:, LABEL] == label] for rows in (comparison.ours, comparison.theirs))
    assert same_distribution(ours[:, A_LENGTH] + ours[:, B_LENGTH], theirs[:, A_LENGTH] + theirs[:, B_LENGTH])
    for column in (A_LENGTH, B_LENGTH, A_START, B_START):
        assert same_distribution(ours[:, column], theirs[:, column])
    splits = [rows[:, A_LENGTH] / (rows[:, A_LENGTH] + rows[:, B_LENGTH]) for rows in (ours, theirs)]
    assert same_distribution(*splits)


@pytest.mark.parametrize(("start", "length"), [(A_START, A_LENGTH), (B_START, B_LENGTH)])
def test_truncation_at_both_ends(comparison: Comparison, start: int, length: int) -> None:
    shard, *both, _ = comparison
    for at_end in (0, 1):
        ours, theirs = (np.isin(rows[:, start] + at_end * rows[:, length], shard.sentence_offsets) for rows in both)
        assert 0.05 < ours.mean() < 0.95
        assert abs(ours.mean() - theirs.mean()) < 4 * np.sqrt(0.25 / len(ours) + 0.25 / len(theirs))


def test_masks(wikitext: WikiText) -> None:
    """Counts a row are Google's to the last one; treatments and places agree with the oracle in distribution."""
    shard, _, vocabulary = wikitext
    objective = MaskedLM()
    plan = make_plan(shard, objective, BatchSize(sequences=1000), seed=5, epoch=0, shard_index=0, keep_remainder=True)
    batch = objective.batch(Sequences(shard, plan, np.arange(len(plan.rows)), vocabulary), (1, 1, 1), None)
    ids, bounds = batch.packed.input_ids.numpy().copy(), batch.packed.cu_seqlens.numpy()
    places, labels = batch.masked_positions.numpy(), batch.masked_labels.numpy()
    inputs = ids[places].copy()
    counts = np.diff(np.searchsorted(places, bounds))
    assert counts.tolist() == [min(20, max(1, round(0.15 * length))) for length in np.diff(bounds).tolist()]
    assert not np.isin(labels, [vocabulary.cls, vocabulary.sep]).any()

    ids[places] = labels
    rng = Random(2)
    special = {vocabulary.cls, vocabulary.sep}
    theirs = [
        (begin, length, *mask(ids[begin : begin + length].tolist(), special, vocabulary.mask, vocabulary.size, rng))
        for begin, length in zip(bounds[:-1].tolist(), np.diff(bounds).tolist(), strict=True)
    ]
    relative = np.concatenate([np.array(chosen) / length for _, length, _, chosen, _ in theirs])
    starts = np.repeat(bounds[:-1], counts)
    assert same_distribution((places - starts) / np.repeat(np.diff(bounds), counts), relative)
    unchanged = np.mean(
        [row[i] == label for *_, row, chosen, old in theirs for i, label in zip(chosen, old, strict=True)]
    )
    error = np.sqrt(1 / len(places))
    assert abs((inputs == vocabulary.mask).mean() - 0.8) < 4 * 0.4 * error
    assert abs((inputs == labels).mean() - 0.1) < 4 * 0.3 * error
    assert abs((inputs == labels).mean() - unchanged) < 6 * 0.3 * error
    random = inputs[(inputs != vocabulary.mask) & (inputs != labels)]
    assert same_distribution(random, np.arange(vocabulary.size))
