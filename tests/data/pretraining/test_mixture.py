"""Mixtures: each corpus has its share of the tokens, from any point and on any hardware."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.loader import TrainingLoader
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.mixture import MixtureWalk
from cloze.data.pretraining.plan import BatchSize
from cloze.data.pretraining.stages import Stages
from cloze.errors import InputError
from cloze.text.sources.mixture import Mixture, Part
from tests.data.corpora import prose, vocabulary, write_shards
from tests.data.pretraining.test_loader import sequences_of

Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    sizes = ((40, 30, 50), (9,), (20, 25))
    return [
        write_shards(tmp_path_factory.mktemp(f"part{i}"), *(prose(size, 1000 * i + size) for size in own))
        for i, own in enumerate(sizes)
    ]


def windows_of(corpora: Sequence[tuple[Any, ...]], stages: Stages[Any]) -> list[Windows[Any]]:
    return [
        Windows(
            Order(shards=shards, vocabulary=vocabulary(), objectives=stages.objectives, sizes=stages.sizes, seed=7 + i)
        )
        for i, shards in enumerate(corpora)
    ]


def loader_of(
    corpora: Sequence[tuple[Any, ...]],
    steps: int = 40,
    *,
    weights: Sequence[float] = (3, 1, 2),
    max_epochs: Sequence[int | None] = (None, None, None),
    phases: Any = None,
    micro_batches: int = 1,
    size: BatchSize | None = None,
    **options: Any,
) -> TrainingLoader[Any]:
    stages = Stages.of(phases, MaskedLM(masking="whole_word", pairs="none"), size or BatchSize(tokens=2048))
    data = MicroBatches(*windows_of(corpora, stages), micro_batches=micro_batches)
    course = stages.course(steps)
    walk = MixtureWalk(data.parts, course, stages.weights(weights), max_epochs, stages.own_positions)
    return TrainingLoader(data, walk=walk, **options)


def texts_of(corpora: Sequence[tuple[Any, ...]]) -> list[set[Row]]:
    """The sequences of each corpus, without masks; they are the same in every epoch, as pairs are none."""
    stages = Stages.of(None, MaskedLM(pairs="none"), BatchSize(tokens=2048))
    found = []
    for windows in windows_of(corpora, stages):
        own: set[Row] = set()
        for window in windows.order.windows(0):
            shard, plan = windows.plan(0, 0, window)
            own |= {tuple(shard.tokens[row[0] : row[0] + row[1]].tolist()) for row in plan.rows.tolist()}
        found.append(own)
    return found


def unmasked(batch: Any) -> list[Row]:
    """The text of each sequence of a batch, without [CLS] and [SEP]."""
    ids = batch.packed.input_ids.clone()
    real = batch.masked_labels >= 0
    ids[batch.masked_positions[real]] = batch.masked_labels[real]
    bounds = batch.packed.cu_seqlens.tolist()
    return [tuple(ids[a + 1 : b - 1].tolist()) for a, b in pairwise(bounds) if b <= batch.num_tokens]


def taken(corpora: Sequence[tuple[Any, ...]], batches: Sequence[Any]) -> list[list[int]]:
    """Of each batch, how many tokens come from each corpus, [CLS] and [SEP] counted."""
    texts = texts_of(corpora)
    return [[sum(len(row) + 2 for row in unmasked(batch) if row in own) for own in texts] for batch in batches]


def plain_rule(rows: Sequence[Sequence[int]], weights: Sequence[float], budget: int, batches: int) -> list[list[int]]:
    """The rule of the walk in plain Python: which corpus each sequence of each batch is from."""
    total = [weight / sum(weights) for weight in weights]
    tokens, places, found = [0] * len(rows), [0] * len(rows), []
    for _ in range(batches):
        chosen, used = [], 0
        while True:
            lags = [total[k] * (sum(tokens) + 1) - tokens[k] for k in range(len(rows))]
            k = lags.index(max(lags))
            length = rows[k][places[k] % len(rows[k])]
            if used and used + length > budget:
                break
            chosen.append(k)
            used, tokens[k], places[k] = used + length, tokens[k] + length, places[k] + 1
            if used == budget:
                break
        found.append(chosen)
    return found


def test_each_sequence_is_of_the_corpus_that_lags_behind_most(corpora: list[tuple[Any, ...]]) -> None:
    loader = loader_of(corpora, 12)
    rows = []
    for windows in loader.data.parts:
        order = [
            windows.plan(0, epoch, window)[1].lengths for epoch in range(9) for window in windows.order.windows(epoch)
        ]
        rows.append([int(length) for lengths in order for length in lengths])
    expected = plain_rule(rows, (3, 1, 2), 2048, 12)
    texts = texts_of(corpora)
    for batch, chosen in zip(loader, expected, strict=True):
        found = [next(k for k, own in enumerate(texts) if row in own) for row in unmasked(batch)]
        assert sorted(found) == sorted(chosen)


def test_shares_are_exact_from_the_first_batches_on(corpora: list[tuple[Any, ...]]) -> None:
    counts = taken(corpora, list(loader_of(corpora)))
    for done in (1, 5, 40):
        sums = [sum(own) for own in zip(*counts[:done], strict=True)]
        for own, share in zip(sums, (0.5, 1 / 6, 1 / 3), strict=True):
            assert abs(own - share * sum(sums)) <= 2 * 128


@settings(deadline=None, max_examples=10)
@given(done=st.integers(1, 39), micro_batches=st.integers(1, 3), workers=st.sampled_from([0, 0, 0, 2]))
def test_any_hardware_continues_from_any_point(
    corpora: list[tuple[Any, ...]], done: int, micro_batches: int, workers: int
) -> None:
    phases = [
        {"share": 0.4, "batch_tokens": 512, "final_batch_tokens": 2048},
        {"share": 0.3, "weights": [0, 1, 1]},
        {"share": 0.3, "weights": [1, 1, 0], "max_length": 64},
    ]
    first = loader_of(corpora, phases=phases)
    state: dict[str, int] = {}
    expected = []
    for number, batch in enumerate(first, 1):
        if number == done:
            state = first.state_dict()
        if number > done:
            expected.append((sorted(sequences_of(batch)), batch.global_masked))
    assert {type(value) for value in state.values()} == {int}
    again = loader_of(
        corpora, phases=phases, micro_batches=micro_batches, batches_done=lambda: done, num_workers=workers
    )
    again.load_state_dict(state)
    parts, found = list(again), []
    for begin in range(0, len(parts), micro_batches):
        whole = parts[begin : begin + micro_batches]
        found.append((sorted(one for part in whole for one in sequences_of(part)), whole[0].global_masked))
    assert found == expected


def test_phases_have_weights_of_their_own(corpora: list[tuple[Any, ...]]) -> None:
    phases = [{"share": 0.5}, {"share": 0.5, "weights": [0, 1, 1]}]
    counts = taken(corpora, list(loader_of(corpora, phases=phases)))
    assert all(own[0] > 0 for own in counts[:20])
    late = [sum(own) for own in zip(*counts[20:], strict=True)]
    assert late[0] == 0
    assert late[1] == pytest.approx(late[2], abs=256)


def test_batches_of_sequences_are_mixed_by_tokens_too(corpora: list[tuple[Any, ...]]) -> None:
    batches = list(loader_of(corpora, size=BatchSize(sequences=16)))
    assert all(len(unmasked(batch)) == 16 for batch in batches)
    sums = [sum(own) for own in zip(*taken(corpora, batches), strict=True)]
    assert sums[0] / sum(sums) == pytest.approx(0.5, abs=0.01)


def test_a_corpus_is_read_max_epochs_times_and_the_others_take_its_place(corpora: list[tuple[Any, ...]]) -> None:
    loader = loader_of(corpora, 60, max_epochs=(None, 2, None))
    batches = list(loader)
    (small,) = texts_of(corpora)[1:2]
    seen = [row for batch in batches for row in unmasked(batch) if row in small]
    assert len(seen) == 2 * len(small)
    late = taken(corpora, batches[-5:])
    assert all(own[1] == 0 for own in late)
    sums = [sum(own) for own in zip(*late, strict=True)]
    assert sums[0] / sum(sums) == pytest.approx(0.6, abs=0.05)


def test_all_corpora_used_up_is_told(corpora: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InputError, match=r"after \d+ of 1,000 steps every part has been read max_epochs times"):
        list(loader_of(corpora, 1000, max_epochs=(1, 1, 1)))


def test_an_epoch_that_ends_with_a_batch_is_over(corpora: list[tuple[Any, ...]]) -> None:
    (small,) = texts_of(corpora)[1:2]
    size = next(size for size in (9, 7, 5, 3, 1) if len(small) % size == 0)
    batches = iter(loader_of(corpora[1:2], 99, weights=(1,), max_epochs=(1,), size=BatchSize(sequences=size)))
    seen = [row for _ in range(len(small) // size) for row in unmasked(next(batches))]
    assert sorted(seen) == sorted(small)
    with pytest.raises(InputError, match="every part has been read max_epochs times"):
        next(batches)


def test_weights_temperature_and_names(tmp_path: Path) -> None:
    mixture = Mixture(parts=[Part(prepared="a/books", weight=3), {"prepared": "wiki/"}, Part(prepared="b/books")])
    assert mixture.shares([1, 1, 1]) == (0.6, 0.2, 0.2)
    assert mixture.names == ("books-0", "wiki", "books-2")
    even = Mixture(parts=[Part(prepared="a"), Part(prepared="b")], temperature=0.5)
    assert even.shares([400, 100]) == pytest.approx((2 / 3, 1 / 3))
    for arguments, message in (
        ({"parts": []}, "is empty"),
        ({"parts": [Part(prepared="a", weight=2)], "temperature": 0.5}, "leave one of them out"),
        ({"parts": [Part(prepared="a", weight=0)]}, "every weight is 0"),
    ):
        with pytest.raises(InputError, match=message):
            Mixture(**arguments)
    with pytest.raises(InputError, match="weight is -1"):
        Part(prepared="a", weight=-1)
    with pytest.raises(InputError, match="no text of its own to prepare"):
        mixture.fingerprint()
