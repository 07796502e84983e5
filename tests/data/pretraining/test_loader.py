"""The order of training: the same global batches with the same masks on any hardware, from any point on."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.loader import ENDLESS, HeldoutLoader, TrainingLoader
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.phases import Course
from cloze.data.pretraining.plan import BatchSize, make_plan
from cloze.data.pretraining.walk import CorpusWalk, Position
from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.shards import read_shard
from tests.data.corpora import prose, vocabulary, write_shards

Sequence = tuple[tuple[int, ...], ...]
GlobalBatch = tuple[list[Sequence], int, int]
"""Its sequences in sorted order, and its two counts."""


def order_of(folder: Location, *, objective: MaskedLM | None = None, **changes: object) -> Order:
    paths = tuple(sorted(folder.glob("*.arrow"))) or write_shards(
        Path(str(folder)), prose(40, 1), prose(30, 2), prose(50, 3)
    )
    settings_: dict[str, object] = {
        "shards": paths,
        "vocabulary": vocabulary(),
        "objectives": (objective or MaskedLM(masking="whole_word"),),
        "sizes": (BatchSize(tokens=4096),),
        "seed": 1,
    }
    return Order(**settings_ | changes)  # type: ignore[arg-type]


def sequences_of(batch: PretrainingBatch) -> list[Sequence]:
    """Each sequence: ids, types, positions, masked places, masked labels, next-sentence label."""
    bounds = batch.packed.cu_seqlens.tolist()
    found: list[Sequence] = []
    counted = batch.masked_labels != IGNORED_LABEL
    places, labels = batch.masked_positions[counted].numpy(), batch.masked_labels[counted].numpy()
    for i, (begin, end) in enumerate(pairwise(bounds)):
        if begin >= batch.num_tokens:
            break
        inside = (places >= begin) & (places < end)
        found.append(
            (
                *(tuple(field[begin:end].tolist()) for field in batch.packed[:3]),
                tuple((places[inside] - begin).tolist()),
                tuple(labels[inside].tolist()),
                (int(batch.next_sentence_labels[i]),),
            )
        )
    return found


def gather(order: Order, count: int, *, ranks: int = 1, accumulation: int = 1, **options: object) -> list[GlobalBatch]:
    """The first global batches, put together from what all ranks read."""
    micro_batches = ranks * accumulation
    static = bool(options.pop("static_shapes", False))
    streams: list[Iterator[PretrainingBatch]] = [
        islice(
            iter(
                TrainingLoader(
                    MicroBatches(Windows(order), micro_batches=micro_batches, static_shapes=static),
                    rank=rank,
                    ranks=ranks,
                    **options,  # type: ignore[arg-type]
                )
            ),
            count * accumulation,
        )
        for rank in range(ranks)
    ]
    read = [list(stream) for stream in streams]
    batches = []
    for number in range(count):
        parts = [part for rank in read for part in rank[number * accumulation : (number + 1) * accumulation]]
        counts = {(part.global_masked, part.global_pairs) for part in parts}
        assert len(counts) == 1
        batches.append((sorted(sequence for part in parts for sequence in sequences_of(part)), *counts.pop()))
    return batches


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    return order_of(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def expected(order: Order) -> list[GlobalBatch]:
    return gather(order, 60)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("accumulation", "static_shapes"), [(1, False), (2, True), (5, False)])
def test_any_hardware_reads_the_same_global_batches_with_the_same_masks(
    order: Order, expected: list[GlobalBatch], ranks: int, num_workers: int, accumulation: int, static_shapes: bool
) -> None:
    count = 60 if num_workers == 0 else 25
    read = gather(
        order, count, ranks=ranks, accumulation=accumulation, num_workers=num_workers, static_shapes=static_shapes
    )
    assert read == expected[:count]


def test_the_sixty_batches_cross_epochs_and_shards(order: Order) -> None:
    loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=1))
    places = [loader.position for _ in islice(loader, 60)]
    assert places[-1].epoch >= 1
    assert {place.window for place in places} == {0, 1, 2}
    assert places == sorted(places)


@settings(deadline=None, max_examples=15)
@given(skipped=st.integers(0, 50), micro_batches=st.integers(1, 3))
def test_starting_anywhere_continues_the_same_sequence(
    order: Order, expected: list[GlobalBatch], skipped: int, micro_batches: int
) -> None:
    data = MicroBatches(Windows(order), micro_batches=micro_batches)
    before, after = TrainingLoader(data), TrainingLoader(MicroBatches(Windows(order), micro_batches=1))
    for _ in islice(before, skipped * micro_batches):
        pass
    state = before.state_dict()
    assert set(state) == {"epoch", "window", "batch"}
    assert all(type(value) is int for value in state.values())
    after.load_state_dict(state)
    rest = [(sorted(sequences_of(batch)), batch.global_masked, batch.global_pairs) for batch in islice(after, 8)]
    assert rest == expected[skipped : skipped + 8]


def test_iterating_again_goes_on(order: Order, expected: list[GlobalBatch]) -> None:
    loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=1), num_workers=2)
    read = [sorted(sequences_of(batch)) for _ in range(3) for batch in islice(loader, 2)]
    assert read == [sequences for sequences, *_ in expected[:6]]


def test_state_counts_what_was_delivered_not_what_workers_made(order: Order) -> None:
    states = []
    for num_workers in (0, 2):
        loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=2), num_workers=num_workers)
        states.append([loader.state_dict() for i, _ in enumerate(islice(loader, 12)) if i % 2])
    assert states[0] == states[1]


def test_no_state_within_a_global_batch(order: Order) -> None:
    loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=2))
    stream = iter(loader)
    next(stream)
    with pytest.raises(RuntimeError, match="last micro-batch"):
        loader.state_dict()
    next(stream)
    assert loader.state_dict() == {"epoch": 0, "window": 0, "batch": 1}


def test_a_lost_state_is_noticed(order: Order) -> None:
    loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=1), batches_done=lambda: 5)
    with pytest.raises(RuntimeError, match="not restored"):
        next(iter(loader))


def test_length(order: Order) -> None:
    data = MicroBatches(Windows(order), micro_batches=6)
    assert len(TrainingLoader(data, ranks=2)) == ENDLESS
    loader = TrainingLoader(data, ranks=2, walk=CorpusWalk(data.parts[0], Course.of([10])))
    assert len(loader) == 30
    assert len(list(loader)) == 30
    assert list(loader) == []


def test_the_global_random_state_is_left_alone(order: Order) -> None:
    before = torch.get_rng_state()
    list(islice(TrainingLoader(MicroBatches(Windows(order), micro_batches=1), num_workers=1), 2))
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_differ(order: Order, expected: list[GlobalBatch], tmp_path: Path) -> None:
    assert gather(order_of(order.shards[0].parent, seed=2), 1)[0][0] != expected[0][0]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_phases(order: Order, num_workers: int) -> None:
    """A phase that ends breaks its epoch off, and any point of either phase can be resumed."""
    objective = MaskedLM(max_length=32)
    both = (objective, replace(objective, max_length=128))
    two = order_of(order.shards[0].parent, objectives=both, sizes=(BatchSize(tokens=4096),) * 2)

    def begun(**options: Any) -> TrainingLoader[Any]:
        data = MicroBatches(Windows(two), micro_batches=1)
        return TrainingLoader(
            data, walk=CorpusWalk(data.parts[0], Course((8,), 20)), num_workers=num_workers, **options
        )

    loader = begun()
    states, batches = [loader.state_dict()], []
    for batch in loader:
        batches.append(sequences_of(batch))
        states.append(loader.state_dict())
    longest = [max(len(sequence[0]) for sequence in batch) for batch in batches]
    assert len(batches) == 20
    assert max(longest[:8]) == 32
    assert min(longest[8:]) > 100
    assert states[7]["epoch"] == 0
    assert states[8] == {"epoch": 1, "window": 0, "batch": 0}
    for done in (3, 7, 8, 9, 19):
        resumed = begun(batches_done=lambda done=done: done)
        resumed.load_state_dict(states[done])
        assert [sequences_of(batch) for batch in resumed] == batches[done:]


def test_the_mask_rate_follows_the_position(order: Order) -> None:
    objective = MaskedLM(mask_rate=0.4, final_mask_rate=0.1)
    changing = order_of(order.shards[0].parent, objectives=(objective,))
    data = MicroBatches(Windows(changing), micro_batches=1)
    loader = TrainingLoader(data, walk=CorpusWalk(data.parts[0], Course.of([31])))
    shares = [len(batch.masked_labels) / batch.num_tokens for batch in loader]
    assert shares == pytest.approx(np.linspace(0.4, 0.1, 31), abs=0.01)


def test_empty_shards_are_passed_over(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [], [[5, 5], [5, 5]], [])
    loader = TrainingLoader(MicroBatches(Windows(order_of(tmp_path, shards=paths)), micro_batches=1))
    assert [batch.num_tokens > 0 for batch in islice(loader, 5)] == [True] * 5
    assert loader.position.epoch == 4
    empty = TrainingLoader(MicroBatches(Windows(order_of(tmp_path, shards=paths[:1])), micro_batches=1))
    with pytest.raises(RuntimeError, match="no batch"):
        next(iter(empty))


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_heldout_is_complete_and_split_without_overlap(order: Order, ranks: int, num_workers: int) -> None:
    whole = order_of(order.shards[0].parent, keep_remainder=True)
    loaders = [
        HeldoutLoader(
            MicroBatches(Windows(whole), micro_batches=ranks), rank=rank, ranks=ranks, num_workers=num_workers
        )
        for rank in range(ranks)
    ]
    read = [sequence for loader in loaders for batch in loader for sequence in sequences_of(batch)]
    planned = [Windows(whole).plan(0, 0, (shard,))[1] for shard in range(3)]
    assert sorted(len(sequence[0]) for sequence in read) == sorted(
        np.concatenate([p.lengths for p in planned]).tolist()
    )
    assert len({len(loader) for loader in loaders}) == 1
    again = [sequence for loader in loaders for batch in loader for sequence in sequences_of(batch)]
    assert again == read


def test_heldout_is_capped(order: Order) -> None:
    whole = order_of(order.shards[0].parent, keep_remainder=True)
    for ranks in (1, 2):
        loader = HeldoutLoader(MicroBatches(Windows(whole), micro_batches=ranks), ranks=ranks, max_tokens=9000)
        assert len(loader) == 3
    assert (
        9000
        <= sum(b.num_tokens for b in HeldoutLoader(MicroBatches(Windows(whole), micro_batches=1), max_tokens=9000))
        < 9000 + 4096
    )


def together(order: Order, shuffle_shards: int, **changes: Any) -> Order:
    return replace(order, shuffle_shards=shuffle_shards, **changes)


def test_the_windows_of_an_epoch_hold_every_shard_once(order: Order) -> None:
    many = replace(order, shards=order.shards * 4, shuffle_shards=5)
    for epoch in range(3):
        windows = many.windows(epoch)
        assert [len(window) for window in windows] == [5, 5, 2]
        assert sorted(shard for window in windows for shard in window) == list(range(12))
    assert many.windows(0) != many.windows(1)
    assert replace(many, keep_remainder=True, shuffle_shards=1).windows(7) == [(shard,) for shard in range(12)]


def test_one_shard_at_a_time_is_planned_by_its_own_place(order: Order) -> None:
    data = Windows(order)
    for (shard,) in order.windows(1):
        content, plan = data.plan(0, 1, (shard,))
        alone = make_plan(
            read_shard(order.shards[shard]), order.objectives[0], order.sizes[0], seed=1, epoch=1, shard_index=shard
        )
        assert all(np.array_equal(found, same) for found, same in zip(plan[:3], alone[:3], strict=True))
        assert np.array_equal(plan.keys, alone.keys)
        assert content.tokens.base is not None  # a view of the mapped file, not a copy


def test_a_window_is_its_shards_end_to_end(order: Order) -> None:
    content, _ = Windows(together(order, 2)).plan(0, 0, (2, 0))
    documents = []
    for shard in (content, *(read_shard(order.shards[i]) for i in (2, 0))):
        bounds = shard.sentence_offsets[shard.document_offsets]
        documents.append([shard.tokens[begin:end].tolist() for begin, end in pairwise(bounds)])
        assert np.array_equal(np.diff(shard.sentence_offsets) > 0, np.ones(len(shard.sentence_offsets) - 1, bool))
    assert documents[0] == documents[1] + documents[2]


@pytest.mark.parametrize("shuffle_shards", [2, 8])
def test_every_sentence_of_a_window_is_read_once_an_epoch_from_all_of_it(order: Order, shuffle_shards: int) -> None:
    whole = together(
        order,
        shuffle_shards,
        objectives=(MaskedLM(pairs="none"),),
        sizes=(BatchSize(sequences=4),),
        keep_remainder=True,
    )
    data, tokens, shards = Windows(whole), 0, [read_shard(path) for path in whole.shards]
    for window in whole.windows(0):
        _, plan = data.plan(0, 0, window)
        tokens += int(plan.lengths.sum()) - 2 * len(plan.lengths)
        ends = np.cumsum([len(shards[shard].tokens) for shard in window])
        first = plan.rows[: len(plan.rows) // 4, 0]  # where the first quarter of the sequences begin
        assert set(np.searchsorted(ends, first, side="right")) == set(range(len(window)))
    assert tokens == sum(len(shard.tokens) for shard in shards)


@pytest.mark.parametrize("ranks", [1, 2])
def test_shards_together_are_the_same_on_any_hardware_from_any_point(order: Order, ranks: int) -> None:
    two = together(order, 2)
    expected = gather(two, 50)
    assert expected != gather(order, 50)
    assert gather(two, 30, ranks=ranks, accumulation=2, num_workers=ranks - 1) == expected[:30]
    loader = TrainingLoader(MicroBatches(Windows(two), micro_batches=1))
    states = [loader.state_dict(), *(loader.state_dict() for _ in islice(loader, 45))]
    borders = [i for i, (a, b) in enumerate(pairwise(states), 1) if a["window"] != b["window"]]
    assert len(borders) > 2
    for done in sorted({0, 7, *borders, *(border - 1 for border in borders)}):
        resumed = TrainingLoader(MicroBatches(Windows(two), micro_batches=1))
        resumed.load_state_dict(states[done])
        again = [(sorted(sequences_of(b)), b.global_masked, b.global_pairs) for b in islice(resumed, 3)]
        assert again == expected[done : done + 3]


def test_a_checkpoint_of_a_version_that_read_shard_by_shard(order: Order) -> None:
    old = {"epoch": 1, "shard": 2, "batch": 3}
    loader = TrainingLoader(MicroBatches(Windows(order), micro_batches=1))
    loader.load_state_dict(old)
    assert loader.position == Position(1, 2, 3)
    with pytest.raises(InputError, match=r"resume=CHECKPOINT data.shuffle_shards=1"):
        TrainingLoader(MicroBatches(Windows(together(order, 8)), micro_batches=1)).load_state_dict(old)


def test_position_is_three_integers() -> None:
    assert Position(1, 2, 3)._asdict() == {"epoch": 1, "window": 2, "batch": 3}
