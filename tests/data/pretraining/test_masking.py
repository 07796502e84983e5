"""Masks: which tokens, how many, and what stands in their place."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.masking import Vocabulary, num_to_predict
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.plan import BatchSize, Plan, Sequences, make_plan
from cloze.data.pretraining.settings import MASKINGS
from cloze.data.splitmix import IntArray
from cloze.text.shards import Shard
from tests.data.corpora import CLS, MASK, ORDINARY, SEP, WikiText, prose, shard_of, vocabulary

VOCABULARY = vocabulary()


def batch_of(
    shard: Shard, objective: MaskedLM, *, seed: int = 1, pieces: Vocabulary = VOCABULARY
) -> tuple[PretrainingBatch, Plan]:
    """All sequences of a plan in one batch, in the plan's order."""
    size = BatchSize(sequences=1000)
    plan = make_plan(shard, objective, size, seed=seed, epoch=0, shard_index=0, keep_remainder=True)
    every = Sequences(shard, plan, np.arange(len(plan.rows)), pieces)
    return objective.batch(every, objective.counts(every), None), plan


def unmasked(batch: PretrainingBatch) -> IntArray:
    ids: IntArray = batch.packed.input_ids.numpy().copy()
    ids[batch.masked_positions.numpy()] = batch.masked_labels.numpy()
    return ids


def words_of(ids: IntArray, continues: IntArray) -> IntArray:
    """The word to which each token belongs; special tokens are words, and end them."""
    special = np.isin(ids, [CLS, SEP])
    begins = ~continues[ids] | special | np.roll(special, 1)
    return np.cumsum(begins)


@pytest.mark.parametrize(
    ("length", "rate", "expected"),
    [(128, 0.15, 19), (512, 0.15, 77), (10, 0.15, 2), (30, 0.15, 4), (70, 0.15, 10), (5, 0.15, 1), (4, 0.9, 1)],
)
def test_number_is_rounded_as_python_rounds(length: int, rate: float, expected: int) -> None:
    assert num_to_predict(length, 3, rate, 100) == expected
    assert expected == min(length - 3, max(1, round(length * rate)))


def test_number_is_capped() -> None:
    assert num_to_predict(128, 3, 0.15, 5) == 5


@settings(deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=8), min_size=2, max_size=6),
    masking=st.sampled_from(MASKINGS),
    pairs=st.sampled_from(["next_sentence", "sentence_order", "none"]),
    rate=st.sampled_from([0.05, 0.15, 0.5, 0.95]),
    seed=st.integers(0, 99),
)
def test_every_row(documents: list[list[int]], masking: str, pairs: str, rate: float, seed: int) -> None:
    objective = MaskedLM(masking=masking, pairs=pairs, max_length=48, mask_rate=rate)
    shard = shard_of(documents)
    batch, plan = batch_of(shard, objective, seed=seed)
    ids, inputs = unmasked(batch), batch.packed.input_ids.numpy()
    places, bounds = batch.masked_positions.numpy(), batch.packed.cu_seqlens.numpy()
    counts = np.diff(np.searchsorted(places, bounds))
    wanted = [num_to_predict(n, 3 if b else 2, rate, 100) for n, b in zip(plan.lengths, plan.rows[:, 3], strict=True)]
    assert (np.diff(places) > 0).all()
    assert not np.isin(ids[places], [CLS, SEP]).any()
    assert batch.global_masked == counts.sum()
    if masking == "whole_word":
        assert (counts <= wanted).all()
    else:
        assert counts.tolist() == wanted
    others = np.ones(len(ids), bool)
    others[places] = False
    assert (inputs[others] == ids[others]).all()
    for begin, end, row in zip(bounds[:-1], bounds[1:], plan.rows, strict=True):
        a_start, a_length, b_start, b_length, _ = row
        expected = [CLS, *shard.tokens[a_start : a_start + a_length], SEP]
        second = len(expected)
        if b_length:
            expected += [*shard.tokens[b_start : b_start + b_length], SEP]
        assert ids[begin:end].tolist() == expected
        assert batch.packed.token_type_ids[begin:end].tolist() == [0] * second + [1] * (len(expected) - second)
        assert batch.packed.position_ids[begin:end].tolist() == list(range(len(expected)))


@settings(deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=8), min_size=2, max_size=6),
    masking=st.sampled_from(MASKINGS),
    pairs=st.sampled_from(["next_sentence", "none"]),
    rate=st.sampled_from([0.15, 0.5, 0.95]),
    every=st.sampled_from([1, 2, 7]),
)
def test_special_tokens_of_the_users_own_are_spared(
    documents: list[list[int]], masking: str, pairs: str, rate: float, every: int
) -> None:
    """Every token, every second or every seventh is one of them; some of them would continue a word."""
    objective = MaskedLM(masking=masking, pairs=pairs, max_length=48, mask_rate=rate, random_token_share=0.2)
    own = (np.arange(VOCABULARY.size) % every == 0) & (np.arange(VOCABULARY.size) >= ORDINARY)
    pieces, shard = VOCABULARY._replace(spared=own), shard_of(documents)
    batch, plan = batch_of(shard, objective, pieces=pieces)
    ids, places = unmasked(batch), batch.masked_positions.numpy()[: batch.global_masked]
    if batch.masked_labels.tolist() != [IGNORED_LABEL]:
        assert not own[ids[places]].any()
        assert not own[batch.packed.input_ids.numpy()[places]].any()
        assert batch.global_masked == len(batch.masked_labels)
        bounds = batch.packed.cu_seqlens.numpy()
        for begin, end, row in zip(bounds[:-1], bounds[1:], plan.rows, strict=True):
            here, special = places[(places >= begin) & (places < end)], 3 if row[3] else 2
            wanted = num_to_predict(int(end - begin - own[ids[begin:end]].sum()), special, rate, 100)
            assert len(here) == wanted or (masking == "whole_word" and len(here) < wanted)
            ends = np.isin(ids[begin:end], [CLS, SEP]) | own[ids[begin:end]]
            words = np.cumsum(~VOCABULARY.continues[ids[begin:end]] | ends | np.roll(ends, 1))
            if masking == "whole_word":
                chosen = np.isin(np.arange(begin, end), here)
                masked = np.bincount(words, weights=chosen)
                assert ((masked == 0) | (masked == np.bincount(words))).all()
    asked = replace(objective, mask_special_tokens=True)
    like_others, _ = batch_of(shard, asked, pieces=pieces)
    plain, _ = batch_of(shard, objective)
    for ours, theirs in ((like_others, plain), (batch_of(shard, asked)[0], plain)):
        assert torch.equal(ours.packed.input_ids, theirs.packed.input_ids)
        assert torch.equal(ours.masked_positions, theirs.masked_positions)


@pytest.mark.parametrize("masking", MASKINGS)
def test_tokens_that_a_text_has_not_change_no_mask_and_micro_batches_are_filled_up(masking: str) -> None:
    objective, shard = MaskedLM(masking=masking, random_token_share=0.0), shard_of(prose(20))
    own = np.arange(VOCABULARY.size + 5) >= VOCABULARY.size
    spared, plain = (batch_of(shard, objective, pieces=p)[0] for p in (VOCABULARY._replace(spared=own), VOCABULARY))
    assert torch.equal(spared.packed.input_ids, plain.packed.input_ids)
    assert spared.global_masked == plain.global_masked
    pieces = VOCABULARY._replace(spared=np.arange(VOCABULARY.size) % 2 == 1)
    plan = make_plan(shard, objective, BatchSize(tokens=2048), seed=1, epoch=0, shard_index=0)
    part = Sequences(shard, plan, np.arange(plan.batches[0], plan.batches[1]), pieces)
    counts = objective.counts(part)
    exact, static = (objective.batch(part, counts, s) for s in (None, StaticShape.of(2048, objective.max_length, 1)))
    assert len(exact.masked_labels) == counts[0]
    assert static.masked_labels[: counts[0]].tolist() == exact.masked_labels.tolist()
    assert set(static.masked_labels[counts[0] :].tolist()) == {IGNORED_LABEL}


@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("shares", [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.0)])
def test_shares(masking: str, shares: tuple[float, float]) -> None:
    objective = MaskedLM(masking=masking, mask_token_share=shares[0], random_token_share=shares[1])
    batch, _ = batch_of(shard_of(prose(2000)), objective)
    labels = batch.masked_labels.numpy()
    inputs = batch.packed.input_ids.numpy()[batch.masked_positions.numpy()]
    assert len(labels) > 50_000
    # Spans are treated as a whole, about six tokens alike, which widens the error.
    error = 4 * 0.5 * np.sqrt((8 if masking == "span" else 1) / len(labels))
    assert abs((inputs == MASK).mean() - shares[0]) < error + 0.002
    kept = 1 - sum(shares)
    assert abs((inputs == labels).mean() - kept) < error + 0.002
    random = inputs[(inputs != labels) & (inputs != MASK)]
    if shares[1]:
        cells = np.bincount(random * 10 // VOCABULARY.size, minlength=10)
        assert np.abs(cells - len(random) / 10).max() < 5 * np.sqrt(len(random) / 10) + 0.002 * len(random)


def test_whole_words_are_masked_whole(wikitext: WikiText) -> None:
    pieces = wikitext.vocabulary
    batch, _ = batch_of(wikitext.articles, MaskedLM(masking="whole_word"), pieces=pieces)
    ids = unmasked(batch)
    special = np.isin(ids, [pieces.cls, pieces.sep])
    words = np.cumsum(~pieces.continues[ids] | special | np.roll(special, 1))
    chosen = np.zeros(len(ids), bool)
    chosen[batch.masked_positions.numpy()] = True
    whole = np.bincount(words)
    masked = np.bincount(words, weights=chosen)
    assert np.isin(masked[whole > 0], [0]).mean() < 1
    assert ((masked == 0) | (masked == whole)).all()
    assert (masked[whole > 1] > 0).sum() > 1000
    # Words too long for what is left of the number leave a small remainder.
    planned = sum(min(20, max(1, round(0.15 * n))) for n in np.diff(batch.packed.cu_seqlens.numpy()).tolist())
    assert 0.98 * planned < batch.global_masked <= planned


def test_token_masking_tears_words(wikitext: WikiText) -> None:
    batch, _ = batch_of(wikitext.articles, MaskedLM(), pieces=wikitext.vocabulary)
    ids = unmasked(batch)
    places = batch.masked_positions.numpy()
    alone = wikitext.vocabulary.continues[ids[places]] & ~np.isin(places - 1, places)
    assert alone.mean() > 0.05


def test_spans_begin_with_words_and_have_spanberts_lengths() -> None:
    pieces = VOCABULARY._replace(continues=np.zeros(VOCABULARY.size, bool))  # a token a word
    # Spans hardly ever meet, and one in forty is truncated.
    objective = MaskedLM(pairs="none", max_length=8002, masking="span", mask_rate=0.02)
    batch, _ = batch_of(shard_of([[8000]] * 100), objective, pieces=pieces)
    places = batch.masked_positions.numpy()
    lengths = np.diff(np.flatnonzero(np.concatenate([[True], np.diff(places) != 1, [True]])))
    chances = 0.2 * 0.8 ** np.arange(10)
    assert lengths.mean() == pytest.approx((chances / chances.sum()) @ np.arange(1, 11), rel=0.05)  # 3.8

    batch, _ = batch_of(shard_of(prose(300)), MaskedLM(masking="span"))
    ids = unmasked(batch)
    places = batch.masked_positions.numpy()
    begins = places[~np.isin(places - 1, places)]
    after_special = np.isin(ids[begins - 1], [CLS, SEP])
    assert (after_special | ~VOCABULARY.continues[ids[begins]]).all()


def test_masks_depend_on_the_sequence_not_on_its_company() -> None:
    shard, objective = shard_of(prose(40)), MaskedLM(masking="whole_word")
    size = BatchSize(sequences=8)
    plan = make_plan(shard, objective, size, seed=1, epoch=0, shard_index=0)

    def rows(sequences: list[int]) -> dict[int, list[int]]:
        batch = objective.batch(Sequences(shard, plan, np.array(sequences), VOCABULARY), (1, 1, 1), None)
        ids = batch.packed.input_ids.split(np.diff(batch.packed.cu_seqlens.numpy()).tolist())
        return {sequence: tokens.tolist() for sequence, tokens in zip(sequences, ids, strict=True)}

    together = rows([5, 0, 3, 7])
    assert rows([3]) | rows([7, 5]) | rows([0]) == together


def test_epochs_mask_differently() -> None:
    shard, objective = shard_of([[100], [100], [100]]), MaskedLM(pairs="none")
    places = set()
    for epoch in range(20):
        plan = make_plan(shard, objective, BatchSize(sequences=3), seed=1, epoch=epoch, shard_index=0)
        first = int(np.flatnonzero(plan.rows[:, 0] == 0)[0])
        batch = objective.batch(Sequences(shard, plan, np.array([first]), VOCABULARY), (1, 1, 1), None)
        places.add(tuple(batch.masked_positions.tolist()))
    assert len(places) == 20
