"""The rules by which documents become segments, one property at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.batch import IGNORED_LABEL
from cloze.data.pretraining.pairs import (
    A_LENGTH,
    A_START,
    B_LENGTH,
    B_START,
    LABEL,
    full_sentence_rows,
    next_sentence_rows,
    sentence_order_rows,
)
from cloze.data.splitmix import IntArray, key_of
from cloze.text.shards import Shard
from tests.data.corpora import Documents, prose, shard_of

corpora = st.lists(st.lists(st.integers(1, 70), min_size=1, max_size=12), min_size=1, max_size=8)
lengths = st.integers(5, 60)


def document_of(shard: Shard, tokens: IntArray) -> IntArray:
    """The document in which each token lies."""
    return np.searchsorted(shard.sentence_offsets[shard.document_offsets], tokens, side="right") - 1


@settings(deadline=None)
@given(documents=corpora, max_tokens=lengths, short=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 99))
def test_next_sentence(documents: Documents, max_tokens: int, short: float, seed: int) -> None:
    shard = shard_of(documents)
    rows = next_sentence_rows(shard.sentence_offsets, shard.document_offsets, max_tokens, short, key_of(seed))
    assert len(rows) >= len(documents)
    assert (rows[:, A_LENGTH] >= 1).all()
    assert (rows[:, A_LENGTH] + rows[:, B_LENGTH] <= max_tokens).all()
    own = document_of(shard, rows[:, A_START])
    assert (own == document_of(shard, rows[:, A_START] + rows[:, A_LENGTH] - 1)).all()
    assert (np.diff(own) >= 0).all()
    assert set(own) == set(range(len(documents)))
    pair = rows[rows[:, B_LENGTH] > 0]
    own, other = document_of(shard, pair[:, A_START]), document_of(shard, pair[:, B_START])
    assert (other == document_of(shard, pair[:, B_START] + pair[:, B_LENGTH] - 1)).all()
    if len(documents) == 1:
        assert (rows[:, LABEL] == IGNORED_LABEL).all()
        assert (other == own).all()
    else:
        assert len(pair) == len(rows)
        assert ((pair[:, LABEL] == 1) == (other != own)).all()
        assert ((pair[:, LABEL] == 0) == (other == own)).all()
    follows = pair[pair[:, LABEL] != 1]
    assert (follows[:, A_START] + follows[:, A_LENGTH] <= follows[:, B_START]).all()


@settings(deadline=None)
@given(documents=corpora, max_tokens=lengths, seed=st.integers(0, 99))
def test_without_truncation_every_sentence_is_an_a_or_a_true_b_once(
    documents: Documents, max_tokens: int, seed: int
) -> None:
    shard = shard_of(documents)
    room = max(10 * max_tokens, 2 * max(map(sum, documents)))  # for any A and B, while targets are often short
    rows = next_sentence_rows(shard.sentence_offsets, shard.document_offsets, room, 1.0, key_of(seed))
    spans = [(r[A_START], r[A_LENGTH]) for r in rows] + [(r[B_START], r[B_LENGTH]) for r in rows if r[LABEL] != 1]
    covered = sorted(token for start, length in spans for token in range(start, start + length))
    assert covered == list(range(len(shard.tokens)))


@settings(deadline=None)
@given(documents=corpora, max_tokens=lengths, seed=st.integers(0, 99))
def test_sentence_order(documents: Documents, max_tokens: int, seed: int) -> None:
    shard = shard_of(documents)
    rows = sentence_order_rows(shard.sentence_offsets, shard.document_offsets, max_tokens, 0.1, key_of(seed))
    assert (rows[:, A_LENGTH] + rows[:, B_LENGTH] <= max_tokens).all()
    alone = rows[:, B_LENGTH] == 0
    assert ((rows[:, LABEL] == IGNORED_LABEL) == alone).all()
    pair = rows[~alone]
    assert ((pair[:, LABEL] == 1) == (pair[:, A_START] > pair[:, B_START])).all()
    assert (document_of(shard, pair[:, A_START]) == document_of(shard, pair[:, B_START])).all()


def test_half_of_the_orders_are_swapped() -> None:
    shard = shard_of(prose(3000))
    rows = sentence_order_rows(shard.sentence_offsets, shard.document_offsets, 125, 0.1, key_of(1))
    labels = rows[rows[:, LABEL] != IGNORED_LABEL, LABEL]
    assert len(labels) > 5000
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(labels))


@settings(deadline=None)
@given(documents=corpora, max_tokens=lengths)
def test_full_sentences_lose_nothing_and_stay_in_their_document(documents: Documents, max_tokens: int) -> None:
    shard = shard_of(documents)
    rows = full_sentence_rows(shard.sentence_offsets, shard.document_offsets, max_tokens)
    assert (rows[:, A_LENGTH] <= max_tokens).all()
    assert (rows[:, A_LENGTH] >= 1).all()
    assert (rows[:, B_LENGTH] == 0).all()
    assert (rows[:, LABEL] == IGNORED_LABEL).all()
    ends = rows[:, A_START] + rows[:, A_LENGTH]
    assert rows[0, A_START] == 0
    assert (rows[1:, A_START] == ends[:-1]).all()
    assert ends[-1] == len(shard.tokens)
    assert (document_of(shard, rows[:, A_START]) == document_of(shard, ends - 1)).all()
    # A sequence ends within a sentence only when it is full, and then began within it or with it.
    within = ~np.isin(ends, shard.sentence_offsets)
    assert (rows[within, A_LENGTH] == max_tokens).all()
    begun = np.searchsorted(shard.sentence_offsets, rows[within, A_START], side="right")
    assert (begun == np.searchsorted(shard.sentence_offsets, ends[within], side="right")).all()


def test_epochs_differ() -> None:
    shard = shard_of(prose(50))
    one, other = (
        next_sentence_rows(shard.sentence_offsets, shard.document_offsets, 125, 0.1, key_of(1, epoch))
        for epoch in range(2)
    )
    assert one.shape != other.shape or (one != other).any()
