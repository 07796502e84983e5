import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.finetuning.batching import (
    Batching,
    EvaluationLoader,
    TaskLoader,
    collate,
    evaluation_batches,
    micro_batches,
)
from cloze.data.finetuning.items import Item, TokenSequence


def item(number: int, *lengths: int, labels: object = None) -> Item:
    """An item whose ids tell its number and the place of each token."""
    sequences = tuple(
        TokenSequence(np.arange(length, dtype=np.int32) + 100 * number, np.zeros(length, np.int8)) for length in lengths
    )
    return Item(number, sequences, np.array([number]) if labels is None else np.array(labels))


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 20), st.booleans(), st.integers(0, 5))
def test_every_epoch_has_every_item_once(lengths: list[int], batch_size: int, group: bool, epoch: int) -> None:
    batches = Batching(batch_size=batch_size, group_by_length=group).batches(np.array(lengths), epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(map(len, batches), reverse=True)
    assert sizes[:-1] == [batch_size] * (len(batches) - 1)


@given(LENGTHS, st.integers(50, 200), st.booleans())
def test_a_batch_of_tokens_keeps_its_budget_and_is_as_full_as_it_can_be(
    lengths: list[int], budget: int, group: bool
) -> None:
    batches = Batching(batch_tokens=budget, group_by_length=group).batches(np.array(lengths), 0)
    tokens = [sum(lengths[number] for number in batch) for batch in batches]
    assert max(tokens) <= budget
    if not group:
        following = [lengths[batch[0]] for batch in batches[1:]]
        assert all(mine + first > budget for mine, first in zip(tokens, following, strict=False))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    lengths = np.arange(1, 101)
    orders = {
        (seed, epoch): tuple(np.concatenate(Batching(batch_size=7, seed=seed).batches(lengths, epoch)).tolist())
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    again = np.concatenate(Batching(batch_size=7, seed=2).batches(lengths, 1))
    assert tuple(again.tolist()) == orders[2, 1]


def test_grouped_batches_hold_similar_lengths() -> None:
    lengths = np.random.default_rng(1).integers(5, 100, 2000)
    spreads = {
        group: np.mean([np.ptp(lengths[b]) for b in Batching(batch_size=16, group_by_length=group).batches(lengths, 0)])
        for group in (False, True)
    }
    assert spreads[True] < spreads[False] / 5


@given(LENGTHS, st.integers(1, 6))
def test_micro_batches_hold_the_global_batch_and_its_count(lengths: list[int], count: int) -> None:
    items = [item(number, length) for number, length in enumerate(lengths)]
    parts = micro_batches(items, np.arange(len(items)), count, None)
    assert len(parts) == count
    assert {part.global_labels for part in parts} == {len(items)}
    numbers = torch.cat([part.items for part in parts])
    assert sorted(numbers[numbers >= 0].tolist()) == list(range(len(items)))
    assert sum(part.num_tokens for part in parts) == sum(lengths)
    for part in parts:  # what only fills is counted by no loss
        assert (part.labels[part.items < 0] == IGNORED_LABEL).all()
        assert (part.labels[part.items >= 0] >= 0).all()


def test_a_batch_keeps_the_sequences_of_an_item_together_and_sorts_by_length() -> None:
    items = [item(0, 9, 4), item(1, 2, 3), item(2, 1, 6)]
    batch = collate(items, [0, 1, 2], global_labels=3)
    assert batch.items.tolist() == batch.labels.tolist() == [1, 2, 0]
    assert batch.packed.cu_seqlens.tolist() == [0, 2, 5, 6, 12, 21, 25]
    assert batch.packed.max_seqlen == 9
    assert batch.packed.input_ids[:5].tolist() == [100, 101, 100, 101, 102]
    assert batch.packed.position_ids[-4:].tolist() == [0, 1, 2, 3]


def test_labels_of_tokens_and_of_several_classes_are_counted_as_things_with_a_label() -> None:
    ignored = IGNORED_LABEL
    tokens = [item(0, 4, labels=[ignored, 2, 0, ignored]), item(1, 3, labels=[ignored, 1, ignored])]
    assert micro_batches(tokens, np.array([0, 1]), 1, None)[0].global_labels == 3
    rows = [item(0, 2, labels=[[0.0, 1.0, 1.0]]), item(1, 2, labels=[[np.nan] * 3])]
    assert micro_batches(rows, np.array([0, 1]), 1, None)[0].global_labels == 1
    spans = [item(0, 5, labels=[[1, 3]]), item(1, 5, labels=[[0, 0]])]
    assert micro_batches(spans, np.array([0, 1]), 1, None)[0].global_labels == 2


@given(LENGTHS, st.integers(50, 300), st.integers(1, 3))
def test_evaluation_sees_every_item_once_whatever_the_ranks(lengths: list[int], budget: int, ranks: int) -> None:
    items = [item(number, length) for number, length in enumerate(lengths)]
    loaders = [list(EvaluationLoader(items, max_tokens=budget, rank=rank, ranks=ranks)) for rank in range(ranks)]
    seen = [number for batches in loaders for batch in batches for number in batch.items.tolist()]
    assert sorted(number for number in seen if number >= 0) == list(range(len(items)))
    assert len({len(batches) for batches in loaders}) == 1  # ranks that share parameters take every step together
    assert all(batch.num_tokens <= budget for batch in EvaluationLoader(items, max_tokens=budget))


def test_evaluation_of_nothing_has_no_batch() -> None:
    assert evaluation_batches(np.array([], dtype=np.int64), 100) == []


def loader(items: list[Item], batches: int, *, accumulation: int = 1, rank: int = 0, ranks: int = 1) -> TaskLoader:
    return TaskLoader(
        items, Batching(batch_size=5), training_batches=batches, accumulation=accumulation, rank=rank, ranks=ranks
    )


def numbers(batches: list[TaskBatch]) -> list[list[int]]:
    return [batch.items.tolist() for batch in batches]


def test_the_loader_walks_over_epochs_and_ends() -> None:
    items = [item(number, 3 + number % 4) for number in range(12)]
    batches = list(loader(items, 7))
    assert len(batches) == 7 == len(loader(items, 7))
    for epoch in (batches[:3], batches[3:6]):
        assert sorted(number for batch in numbers(epoch) for number in batch) == list(range(12))
    assert numbers(batches[:3]) != numbers(batches[3:6])


def test_it_goes_on_from_any_place() -> None:
    items = [item(number, 3 + number % 4) for number in range(12)]
    whole = numbers(list(loader(items, 8)))
    for done in range(8):
        first = loader(items, 8)
        walk = iter(first)
        before = [next(walk) for _ in range(done)]
        second = TaskLoader(items, Batching(batch_size=5), training_batches=8, batches_done=lambda done=done: done)  # type: ignore[misc]
        second.load_state_dict(first.state_dict())
        assert numbers(before) + numbers(list(second)) == whole


def test_ranks_and_accumulation_cut_the_same_global_batches() -> None:
    items = [item(number, 3 + number % 4) for number in range(12)]
    whole = [sorted(batch) for batch in numbers(list(loader(items, 6)))]
    ranks = [numbers(list(loader(items, 6, accumulation=2, rank=rank, ranks=2))) for rank in range(2)]
    for step, expected in enumerate(whole):
        parts = [part for rank in ranks for part in rank[2 * step : 2 * step + 2]]
        assert sorted(number for part in parts for number in part if number >= 0) == expected
