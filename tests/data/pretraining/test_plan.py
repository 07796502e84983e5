"""Plans: pure functions of their names, with global batches of the size that was asked for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.plan import BatchSize, Plan, make_plan
from cloze.data.pretraining.settings import PAIRS
from cloze.data.pretraining.stages import Stages
from cloze.errors import InputError
from tests.data.corpora import Documents, prose, shard_of

corpora = st.lists(st.lists(st.integers(1, 70), min_size=1, max_size=12), min_size=1, max_size=12)


def plan_of(documents: Documents, objective: MaskedLM, size: BatchSize, *, epoch: int = 0, keep: bool = False) -> Plan:
    return make_plan(shard_of(documents), objective, size, seed=1, epoch=epoch, shard_index=0, keep_remainder=keep)


def tokens_of_batches(plan: Plan) -> list[int]:
    return [int(plan.lengths[begin:end].sum()) for begin, end in zip(plan.batches, plan.batches[1:], strict=False)]


@settings(deadline=None)
@given(documents=corpora, pairs=st.sampled_from(PAIRS), tokens=st.integers(64, 2000), keep=st.booleans())
def test_token_batches(documents: Documents, pairs: str, tokens: int, keep: bool) -> None:
    plan = plan_of(documents, MaskedLM(pairs=pairs, max_length=64), BatchSize(tokens=tokens), keep=keep)
    assert plan.lengths.max() <= 64
    assert plan.num_batches >= 1
    sizes = tokens_of_batches(plan)
    assert max(sizes) <= tokens
    assert min(sizes) > 0
    assert plan.batches[0] == 0
    for end, size in zip(plan.batches[1:-1], sizes, strict=False):
        assert size + plan.lengths[end] > tokens  # the next sequence would not have fitted
    if keep:
        assert plan.batches[-1] == len(plan.rows)
    elif plan.num_batches > 1:
        rest = plan.lengths[plan.batches[-1] :].sum()
        assert rest == 0 or sizes[-1] + plan.lengths[plan.batches[-1]] > tokens
        assert rest < tokens


@settings(deadline=None)
@given(documents=corpora, sequences=st.integers(1, 20), keep=st.booleans())
def test_sequence_batches(documents: Documents, sequences: int, keep: bool) -> None:
    plan = plan_of(documents, MaskedLM(max_length=64), BatchSize(sequences=sequences), keep=keep)
    counts = np.diff(plan.batches)
    assert (counts[:-1] == sequences).all()
    if not keep and plan.num_batches > 1:
        assert counts[-1] == sequences
    if keep:
        assert counts.sum() == len(plan.rows)


def test_a_small_shard_gives_one_batch_and_an_empty_one_none() -> None:
    size = BatchSize(tokens=10**6)
    assert plan_of([[5, 6], [7]], MaskedLM(), size).num_batches == 1
    assert plan_of([], MaskedLM(), size).num_batches == 0
    assert plan_of([], MaskedLM(), size, keep=True).num_batches == 0


def test_the_remainder_differs_every_epoch() -> None:
    documents = prose(30)
    rests = []
    for epoch in range(5):
        plan = plan_of(documents, MaskedLM(pairs="none"), BatchSize(tokens=4096), epoch=epoch)
        rests.append(frozenset(plan.rows[plan.batches[-1] :, 0].tolist()))
    assert all(rests)
    assert len(set(rests)) == 5


def test_plans_are_pure() -> None:
    shard, objective, size = shard_of(prose(30)), MaskedLM(), BatchSize(tokens=4096)

    def plan(seed: int, epoch: int, shard_index: int) -> tuple[bytes, ...]:
        made = make_plan(shard, objective, size, seed=seed, epoch=epoch, shard_index=shard_index)
        return made.rows.tobytes(), made.batches.tobytes(), made.keys.tobytes()

    assert plan(1, 2, 3) == plan(1, 2, 3)
    assert len({plan(1, 2, 3), plan(2, 1, 3), plan(1, 3, 2), plan(3, 2, 1), plan(2, 2, 3)}) == 5


def test_the_order_is_shuffled() -> None:
    rows = plan_of(prose(200), MaskedLM(pairs="none"), BatchSize(tokens=4096)).rows
    assert abs(np.corrcoef(np.arange(len(rows)), rows[:, 0])[0, 1]) < 0.2


@pytest.mark.parametrize("sizes", [{}, {"tokens": 5, "sequences": 5}, {"tokens": 0}, {"sequences": -1}])
def test_sizes_that_cannot_be(sizes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"data\.batch_"):
        BatchSize(**sizes)


@pytest.mark.parametrize(
    ("size", "micro_batch_tokens", "ranks", "expected"),
    [
        (BatchSize(tokens=4096), 4096, 1, 1),
        (BatchSize(tokens=4096), 65536, 1, 1),
        (BatchSize(tokens=65536), 8192, 2, 4),
        (BatchSize(tokens=65537), 8192, 2, 5),
        (BatchSize(sequences=256), 8192, 1, 4),
        (BatchSize(sequences=16, final=256), 8192, 1, 4),
    ],
)
def test_accumulation(size: BatchSize, micro_batch_tokens: int, ranks: int, expected: int) -> None:
    assert Stages.of(None, MaskedLM(), size).accumulation(micro_batch_tokens, ranks) == expected
