"""An objective of the user's own: a batch type and counts that cloze has never seen, on any hardware."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.loader import TrainingLoader
from cloze.data.pretraining.objective import Objective
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.phases import Course
from cloze.data.pretraining.plan import BatchSize, Sequences
from cloze.data.pretraining.walk import CorpusWalk
from tests.data.corpora import prose, vocabulary, write_shards

Sequence = tuple[tuple[int, ...], tuple[float, ...]]


class DetectionBatch(NamedTuple):
    """``replaced`` (N,) float32 is 1 for a replaced token, 0 for another, -1 where nothing is asked."""

    packed: Packed
    replaced: Tensor
    num_tokens: int
    global_tokens: int


@dataclass(frozen=True, kw_only=True)
class ReplacedTokens(Objective[DetectionBatch]):
    """Which tokens were replaced? (Clark et al. 2020, with random tokens in place of a generator's.)"""

    rate: float = 0.15

    def counts(self, sequences: Sequences) -> tuple[int, ...]:
        return (int((sequences.lengths - self.special_tokens).sum()),)

    def batch(self, sequences: Sequences, counts: tuple[int, ...], shape: StaticShape | None) -> DetectionBatch:
        packed, num_tokens = self.packed(sequences, shape)
        ids = packed.input_ids.numpy()
        replaced, begin = np.full(len(ids), -1, np.float32), 0
        for length, numbers in zip(sequences.lengths, sequences.generators(), strict=True):
            text = slice(begin + 1, begin + length - 1)
            drawn = numbers.integers(sequences.vocabulary.size, size=length - 2)
            drawn = np.where(numbers.random(length - 2) < self.rate, drawn, ids[text])
            replaced[text], ids[text] = drawn != ids[text], drawn
            begin += length
        return DetectionBatch(packed, torch.from_numpy(replaced), num_tokens, *counts)


def sequences_of(batch: DetectionBatch) -> list[Sequence]:
    bounds = [bound for bound in batch.packed.cu_seqlens.tolist() if bound <= batch.num_tokens]
    ids, replaced = batch.packed.input_ids, batch.replaced
    return [(tuple(ids[begin:end].tolist()), tuple(replaced[begin:end].tolist())) for begin, end in pairwise(bounds)]


def global_batches(folder: Path, *, ranks: int, accumulation: int, static: bool) -> list[tuple[list[Sequence], int]]:
    shards = tuple(sorted(folder.glob("*.arrow"))) or write_shards(folder, prose(40, 1), prose(30, 2))
    order = Order(
        shards=shards, vocabulary=vocabulary(), objectives=(ReplacedTokens(),), sizes=(BatchSize(tokens=2048),), seed=1
    )
    data = MicroBatches(Windows(order), micro_batches=ranks * accumulation, static_shapes=static)
    walk = CorpusWalk(data.parts[0], Course.of([6]))
    read = [list(TrainingLoader(data, walk=walk, rank=rank, ranks=ranks)) for rank in range(ranks)]
    found = []
    for number in range(6):
        parts = [part for own in read for part in own[number * accumulation : (number + 1) * accumulation]]
        (count,) = {part.global_tokens for part in parts}
        assert count == sum(int((part.replaced >= 0).sum()) for part in parts)
        found.append((sorted(sequence for part in parts for sequence in sequences_of(part) if sequence[0]), count))
    return found


@pytest.mark.parametrize(("ranks", "accumulation", "static"), [(1, 3, False), (2, 1, True), (3, 2, False)])
def test_any_hardware_gets_the_same_batches_and_counts(
    tmp_path: Path, ranks: int, accumulation: int, static: bool
) -> None:
    expected = global_batches(tmp_path, ranks=1, accumulation=1, static=False)
    assert global_batches(tmp_path, ranks=ranks, accumulation=accumulation, static=static) == expected
    asked = [label for sequences, _ in expected for _, labels in sequences for label in labels if label >= 0]
    assert 0.12 < np.mean(asked) < 0.18
