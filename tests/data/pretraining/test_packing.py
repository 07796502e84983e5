"""Micro-batches: balanced, of constant shape where asked for, and nothing lost or added."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.micro_batches import cut
from cloze.data.pretraining.dataset import cut_batch
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.plan import BatchSize, Sequences, make_plan
from cloze.data.pretraining.settings import PAIRS
from tests.data.corpora import PAD, prose, shard_of, vocabulary

VOCABULARY = vocabulary()


@given(lengths=st.lists(st.integers(3, 128), max_size=200), micro_batches=st.integers(1, 9))
def test_cut_is_a_balanced_partition(lengths: list[int], micro_batches: int) -> None:
    parts = cut(np.array(lengths, np.int64), micro_batches)
    assert len(parts) == micro_batches
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    loads = [sum(lengths[i] for i in part) for part in parts]
    assert max(loads) - min(loads) <= max(lengths, default=0)
    assert max(loads) * micro_batches <= sum(lengths) + (micro_batches - 1) * max(lengths, default=0)
    for part in parts:
        assert [lengths[i] for i in part] == sorted((lengths[i] for i in part), reverse=True)


def micro_batches_of(
    objective: MaskedLM, tokens: int, pieces: int, *, static: bool, documents: int = 300
) -> list[list[PretrainingBatch]]:
    """The micro-batches of every global batch of an epoch."""
    shard = shard_of(prose(documents))
    plan = make_plan(shard, objective, BatchSize(tokens=tokens), seed=1, epoch=0, shard_index=0)
    shape = StaticShape.of(tokens, objective.max_length, pieces) if static else None
    made = []
    for batch in range(plan.num_batches):
        every = np.arange(plan.batches[batch], plan.batches[batch + 1])
        parts, counts = cut_batch(objective, Sequences(shard, plan, every, VOCABULARY), pieces)
        made.append([objective.batch(part, counts, shape) for part in parts])
    return made


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("masking", ["token", "whole_word"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_static_shapes_are_constant_and_padding_is_rare(pairs: str, masking: str, pieces: int) -> None:
    objective = MaskedLM(pairs=pairs, masking=masking)
    made = micro_batches_of(objective, 8192 * pieces, pieces, static=True)
    batches = [batch for parts in made for batch in parts]
    assert len(made) > 1
    shapes = {
        (
            *(tuple(field.shape) for field in batch.packed[:4]),
            batch.packed.max_seqlen,
            tuple(batch.masked_positions.shape),
            tuple(batch.masked_labels.shape),
            tuple(batch.next_sentence_labels.shape),
        )
        for batch in batches
    }
    assert len(shapes) == 1
    padded = sum(len(batch.packed.input_ids) for batch in batches)
    assert 1 - sum(batch.num_tokens for batch in batches) / padded < 0.02


@pytest.mark.parametrize("masking", ["token", "whole_word", "span"])
def test_static_and_exact_hold_the_same(masking: str) -> None:
    objective = MaskedLM(masking=masking)
    exact, static = (micro_batches_of(objective, 4096, 3, static=static, documents=60) for static in (False, True))
    for ours, theirs in zip(sum(exact, []), sum(static, []), strict=True):  # noqa: RUF017
        tokens, sequences, masked = ours.num_tokens, len(ours.next_sentence_labels), len(ours.masked_labels)
        assert theirs.num_tokens == tokens == len(ours.packed.input_ids)
        for one, other in zip(ours.packed[:3], theirs.packed[:3], strict=True):
            assert torch.equal(one, other[:tokens])
        assert torch.equal(ours.packed.cu_seqlens, theirs.packed.cu_seqlens[: sequences + 1])
        assert torch.equal(ours.masked_positions, theirs.masked_positions[:masked])
        assert torch.equal(ours.masked_labels, theirs.masked_labels[:masked])
        assert torch.equal(ours.uniforms, theirs.uniforms[:masked])
        assert torch.equal(ours.next_sentence_labels, theirs.next_sentence_labels[:sequences])
        assert (theirs.packed.input_ids[tokens:] == PAD).all()
        assert (theirs.masked_labels[masked:] == IGNORED_LABEL).all()
        assert (theirs.next_sentence_labels[sequences:] == IGNORED_LABEL).all()
        lengths = theirs.packed.cu_seqlens.diff()
        assert theirs.packed.cu_seqlens[-1] == len(theirs.packed.input_ids)
        assert lengths.min() >= 0
        assert lengths.max() <= 128 == theirs.packed.max_seqlen
        assert theirs.packed.position_ids.max() < 128
        assert ours.packed.max_seqlen == ours.packed.cu_seqlens.diff().max()
        assert (ours.global_masked, ours.global_pairs) == (theirs.global_masked, theirs.global_pairs)


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("masking", ["token", "whole_word", "span"])
def test_counts_of_the_global_batch_are_the_sums_over_its_micro_batches(pairs: str, masking: str) -> None:
    for parts in micro_batches_of(MaskedLM(pairs=pairs, masking=masking), 2048, 3, static=False, documents=40):
        masked = sum(int((part.masked_labels != IGNORED_LABEL).sum()) for part in parts)
        labelled = sum(int((part.next_sentence_labels != IGNORED_LABEL).sum()) for part in parts)
        assert {part.global_masked for part in parts} == {masked}
        assert {part.global_pairs for part in parts} == {max(labelled, 1)}
        assert {part.global_tokens for part in parts} == {sum(part.num_tokens for part in parts)}
        assert (labelled == 0) == (pairs == "none")


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 6), count=st.integers(50, 400), pieces=st.integers(1, 4))
def test_batches_of_the_shortest_sequences_still_hold_everything(length: int, count: int, pieces: int) -> None:
    """They have more sequences, and more masked tokens, than the usual constants: the next multiple is taken."""
    shard, objective, tokens = shard_of([[length]] * count), MaskedLM(pairs="none"), 512
    plan = make_plan(shard, objective, BatchSize(tokens=tokens), seed=1, epoch=0, shard_index=0, keep_remainder=True)
    shape = StaticShape.of(tokens, 128, pieces)
    for batch in range(plan.num_batches):
        every = np.arange(plan.batches[batch], plan.batches[batch + 1])
        parts, counts = cut_batch(objective, Sequences(shard, plan, every, VOCABULARY), pieces)
        made = [objective.batch(part, counts, shape) for part in parts]
        assert (
            sum(batch.num_tokens for batch in made) == plan.lengths[plan.batches[batch] : plan.batches[batch + 1]].sum()
        )
        for batch_ in made:
            assert len(batch_.packed.input_ids) == shape.tokens
            assert len(batch_.next_sentence_labels) % shape.sequences == 0
            assert len(batch_.masked_labels) % shape.predictions(0.15) == 0


def test_a_micro_batch_without_sequences_can_be_trained_on() -> None:
    shard, objective = shard_of([[5, 6], [7]]), MaskedLM()
    plan = make_plan(shard, objective, BatchSize(tokens=4096), seed=1, epoch=0, shard_index=0)
    batch = objective.batch(Sequences(shard, plan, np.arange(0), VOCABULARY), (1, 1, 1), None)
    assert batch.num_tokens == 0
    assert batch.packed.input_ids.tolist() == [PAD, PAD]
    assert batch.packed.cu_seqlens.tolist() == [0, 2]
    assert batch.masked_labels.tolist() == [IGNORED_LABEL]
    assert batch.next_sentence_labels.tolist() == [IGNORED_LABEL]


def test_types() -> None:
    batch = micro_batches_of(MaskedLM(), 4096, 1, static=False, documents=30)[0][0]
    for tensor in (*batch.packed[:3], *batch[1:4]):
        assert tensor.dtype == torch.int64
    assert batch.packed.cu_seqlens.dtype == torch.int32


def test_large_vocabularies() -> None:
    """Their shards hold uint32."""
    shard, objective = shard_of(prose(20)), MaskedLM(masking="whole_word")
    plan = make_plan(shard, objective, BatchSize(tokens=1024), seed=1, epoch=0, shard_index=0)
    narrow, wide = (
        objective.batch(Sequences(each, plan, np.arange(9), VOCABULARY), (1, 1, 1), None)
        for each in (shard, shard._replace(tokens=shard.tokens.astype(np.uint32)))
    )
    assert torch.equal(narrow.packed.input_ids, wide.packed.input_ids)
    assert torch.equal(narrow.masked_labels, wide.masked_labels)


def test_the_number_of_a_masked_token_is_that_of_its_sequence_and_position() -> None:
    """Whatever the micro-batch; and the masks are drawn apart from it."""

    def found(pieces: int) -> dict[tuple[int, ...], list[tuple[int, float]]]:
        by_sequence = {}
        for batch in sum(micro_batches_of(MaskedLM(), 2048, pieces, static=False, documents=40), []):  # noqa: RUF017
            bounds = batch.packed.cu_seqlens
            owners = torch.searchsorted(bounds, batch.masked_positions, right=True) - 1
            positions = batch.masked_positions - bounds[owners]
            for owner, begin, end in zip(
                range(len(bounds) - 1), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
            ):
                of = owners == owner
                name = tuple(batch.packed.input_ids[begin:end].tolist())
                by_sequence[name] = list(zip(positions[of].tolist(), batch.uniforms[of].tolist(), strict=True))
        return by_sequence

    one, three = found(1), found(3)
    assert one == three
    numbers = np.array([number for drawn in one.values() for _, number in drawn])
    assert len({*numbers}) > 0.99 * len(numbers) > 300
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 3 / np.sqrt(12 * len(numbers))
