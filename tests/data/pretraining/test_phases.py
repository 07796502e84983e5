"""Phases of training: their lengths, their ramps, and global batches that grow, from any point and on any hardware."""

import math
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.loader import TrainingLoader
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.phases import Course, Phase, phase_steps, read_phases
from cloze.data.pretraining.plan import BatchSize
from cloze.data.pretraining.ramps import ramped
from cloze.data.pretraining.stages import Stages
from cloze.data.pretraining.walk import CorpusWalk
from cloze.errors import InputError
from tests.data.corpora import prose, vocabulary, write_shards
from tests.data.pretraining.test_loader import sequences_of


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return write_shards(tmp_path_factory.mktemp("shards"), prose(40, 1), prose(30, 2), prose(50, 3))


def loader_of(
    shards: tuple[Any, ...], stages: Stages[Any], steps: int, *, micro_batches: int = 1, **options: Any
) -> TrainingLoader[Any]:
    order = Order(
        shards=shards, vocabulary=vocabulary(), objectives=stages.objectives, sizes=stages.sizes, seed=1,
        shuffle_shards=options.pop("shuffle_shards", 1),
    )  # fmt: skip
    static = options.pop("static_shapes", False)
    data = MicroBatches(Windows(order), micro_batches=micro_batches, static_shapes=static)
    walk = CorpusWalk(data.parts[0], stages.course(steps), stages.own_positions)
    return TrainingLoader(data, walk=walk, **options)


GROWING = [
    {"share": 0.5, "batch_tokens": 512, "final_batch_tokens": 4096, "mask_rate": 0.3, "final_mask_rate": 0.1},
    {"share": 0.3, "ramp": "doublings", "final_batch_tokens": 1024},
    {"share": 0.2, "max_length": 64, "mask_rate": 0.2},
]


def growing() -> Stages[Any]:
    return Stages.of(GROWING, MaskedLM(pairs="none"), BatchSize(tokens=4096))


def test_a_straight_line_and_doublings() -> None:
    assert [ramped(100, 500, share) for share in (0.0, 0.25, 1.0, 2.0)] == [100, 200, 500, 500]
    assert [ramped(768, 4608, i / 8, "doublings") for i in range(8)] == [768, 768, 1536, 1536, 3072, 3072, 4608, 4608]
    assert [ramped(0.4, 0.1, share, "doublings") for share in (0.0, 0.4, 0.8, 1.0)] == [0.4, 0.2, 0.1, 0.1]
    assert ramped(7, None, 0.5) == ramped(7, 7, 0.5, "doublings") == 7


@given(
    first=st.integers(1, 10_000),
    last=st.integers(1, 10_000),
    share=st.floats(0, 1),
    ramp=st.sampled_from(["linear", "doublings"]),
)
def test_a_ramp_stays_between_its_ends_and_goes_one_way(first: int, last: int, share: float, ramp: str) -> None:
    low, high = sorted((first, last))
    assert low <= ramped(first, last, share, ramp) <= high
    course = [ramped(first, last, i / 20, ramp) for i in range(21)]
    assert course == sorted(course, reverse=first > last)
    assert (course[0], course[-1]) == (first, last)


def test_batches_have_the_size_and_the_masks_of_their_place(shards: tuple[Any, ...]) -> None:
    stages = growing()
    loader = loader_of(shards, stages, 60)
    sizes, rates, longest = [], [], []
    for batch in loader:
        sizes.append(batch.num_tokens)
        rates.append(len(batch.masked_labels) / batch.num_tokens)
        longest.append(int(batch.packed.cu_seqlens.diff().max()))
    assert len(sizes) == 60
    asked = [round(512 + i / 29 * 3584) for i in range(30)]
    asked += [4096] * 6 + [2048] * 6 + [1024] * 6 + [1024] * 12
    for done, (size, most) in enumerate(zip(sizes, asked, strict=True)):
        assert size <= most, done
        assert size > most - 128 or size < most  # the next sequence would not fit, or a window ended
    full = [size > most - 128 for size, most in zip(sizes, asked, strict=True)]
    assert all(full)
    assert rates[:30] == pytest.approx(np.linspace(0.3, 0.1, 30), abs=0.02)
    assert rates[30:48] == pytest.approx([0.1] * 18, abs=0.02)
    assert rates[48:] == pytest.approx([0.2] * 12, abs=0.02)
    assert max(longest[:48]) == 128
    assert max(longest[48:]) == 64


@settings(deadline=None, max_examples=12)
@given(done=st.integers(1, 59), micro_batches=st.integers(1, 3), workers=st.sampled_from([0, 0, 0, 1]))
def test_training_resumes_inside_every_ramp(
    shards: tuple[Any, ...], done: int, micro_batches: int, workers: int
) -> None:
    stages = growing()
    first = loader_of(shards, stages, 60, shuffle_shards=2)
    state: dict[str, int] = {}
    expected = []
    for number, batch in enumerate(first, 1):
        if number == done:
            state = first.state_dict()
        if number > done:
            expected.append((sorted(sequences_of(batch)), batch.global_masked))
    again = loader_of(
        shards,
        stages,
        60,
        shuffle_shards=2,
        micro_batches=micro_batches,
        batches_done=lambda: done,
        num_workers=workers,
    )
    again.load_state_dict(state)
    parts = list(again)
    assert len(parts) == (60 - done) * micro_batches
    found = []
    for begin in range(0, len(parts), micro_batches):
        whole = parts[begin : begin + micro_batches]
        assert len({part.global_masked for part in whole}) == 1
        found.append((sorted(one for part in whole for one in sequences_of(part)), whole[0].global_masked))
    assert found == expected


def test_a_phase_of_the_same_sequences_continues_the_epoch(shards: tuple[Any, ...]) -> None:
    phases = [{"steps": 2}, {"batch_tokens": 1024, "mask_rate": 0.3}, {"steps": 2, "max_length": 64}]
    loader = loader_of(shards, Stages.of(phases, MaskedLM(pairs="none"), BatchSize(tokens=4096)), 8)
    places = [loader.position for _ in loader]
    assert [place.epoch for place in places] == [0, 0, 0, 0, 0, 1, 1, 1]  # of the batch to come
    assert [place.batch for place in places] == [1, 2, 3, 4, 5, 0, 1, 2]


def test_static_shapes_are_a_few_in_a_ramp_and_one_without(shards: tuple[Any, ...]) -> None:
    shapes = [len(batch.packed.input_ids) for batch in loader_of(shards, growing(), 60, static_shapes=True)]
    assert len({*shapes[:30]}) == 4  # 512 to 4,096
    assert len({*shapes[48:]}) == 1
    sizes = [batch.num_tokens for batch in loader_of(shards, growing(), 60)]
    assert all(size <= shape for size, shape in zip(sizes, shapes, strict=True))
    assert sum(shapes) < 2.3 * sum(sizes)


@pytest.mark.parametrize(
    ("stated", "steps", "tokens", "expected"),
    [
        ([{"share": 0.9}, {"share": 0.1}], 100, None, [90, 10]),
        ([(0.35, 32), (0.65, 128)], 3700, None, [1295, 2405]),
        ([{"share": 0.5}, {"share": 0.5}], None, 300_000, [100, 100]),
        ([{"steps": 10}, {"tokens": 20_000}, {}], 100, None, [10, 10, 80]),
        ([{"tokens": 10_000}, {"tokens": 20_500}], None, None, [10, 11]),
        ([{"tokens": 10_000}, {}], None, 30_000, [10, 10]),
        ([{"steps": 5}, {"steps": 6}], 11, None, [5, 6]),
        (None, 7, None, [7]),
        (None, None, 7_500, [8]),
    ],
)
def test_lengths(stated: Any, steps: int | None, tokens: int | None, expected: list[int]) -> None:
    means = [1000.0, 2000.0, 500.0]
    phases = read_phases(stated)
    assert phase_steps(phases, means[: len(phases)], steps, tokens) == expected


@pytest.mark.parametrize(
    ("stated", "steps", "message"),
    [
        ([{"share": 0.9}, {"share": 0.2}], 10, "sum to 1"),
        ([{"share": 0.9}, {"steps": 3}], 10, "sum to 1"),
        ([{}, {}], 10, "only one of them"),
        ([{"steps": 3, "tokens": 3}], 10, r"phases\[0\]: steps and tokens both"),
        ([{"steps": 3}, {"steps": 3}], 10, "together they have 6 steps, but trainer.max_steps is 10"),
        ([{"steps": 13}, {}], 10, r"phases\[1\] takes the rest"),
        ([{"steps": 3}, {}], None, r"trainer\.max_steps"),
        ([{"share": 0.5}, {"share": 0.5}], None, r"trainer\.max_steps"),
        ([{"max_length": -3}], 10, r"phases\[0\]: max_length is -3"),
        ([{"ramp": "cubic"}], 10, "linear, doublings"),
        ([{"frozen": ["encoder"]}], 10, "embeddings, layers, heads"),
        ([{"batch_tokens": 10}], 10, "expected at least one sequence"),
        ([{"batch_tokens": 1000, "batch_sequences": 3}], 10, "leave one of them out"),
        ([{"final_batch_sequences": 3}], 10, "the phase before counts tokens"),
        ([{"mask_rate": 3.0}], 10, r"phases\[0\]: objective\.mask_rate=3\.0"),
        ([{"lr": -1e-3}], 10, "must not be below zero"),
    ],
)
def test_what_cannot_be_is_refused(stated: Any, steps: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Stages.of(stated, MaskedLM(), BatchSize(tokens=4096)).steps(steps)


def test_a_course_knows_the_phase_and_the_share_of_each_step() -> None:
    course = Course.of([4, 1, 5])
    assert [course.phase(done) for done in range(12)] == [0] * 4 + [1] + [2] * 7
    assert [course.share_of_phase(done) for done in (0, 3, 4, 5, 9)] == [0.0, 1.0, 0.0, 0.0, 1.0]
    assert course.share(9) == 1.0
    assert [course.bounds(phase) for phase in range(3)] == [(0, 4), (4, 5), (5, 10)]


@given(shares=st.lists(st.integers(1, 9), min_size=1, max_size=5), steps=st.integers(50, 5000))
def test_shares_become_steps_as_their_sums_are_rounded(shares: list[int], steps: int) -> None:
    phases = [Phase(share=share / sum(shares)) for share in shares]
    found = phase_steps(phases, [1.0] * len(phases), steps)
    assert sum(found) == steps
    for end, share in zip(accumulate(found), accumulate(shares), strict=True):
        assert abs(end - steps * share / sum(shares)) <= 0.5 + 1e-6


def test_a_ramp_of_batches_counts_its_mean_in_tokens() -> None:
    stages = Stages.of(
        [{"tokens": 1_000_000, "batch_sequences": 768, "final_batch_sequences": 4608}],
        MaskedLM(),
        BatchSize(tokens=4096),
    )
    (steps,) = stages.steps(None)
    assert steps == math.ceil(1_000_000 / ((768 + 4608) / 2 * 128))
    ends = [0, *accumulate(stages.steps(None))]
    assert all(begin < end for begin, end in pairwise(ends))
