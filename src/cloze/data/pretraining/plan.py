"""The plan of a window of shards for an epoch: its sequences in random order, split into global batches.

A pure function of (seed, epoch, window) and of which segments make a sequence. Ranks, workers and micro-batches do not
occur here; nor do windows, each of which is one shard by now (``cloze.text.shards.joined``).
"""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cloze.batch import IGNORED_LABEL
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.pairs import A_LENGTH, B_LENGTH, LABEL, Segments
from cloze.data.pretraining.ramps import ramped
from cloze.data.splitmix import IntArray, children, key_of, permutation, stream
from cloze.errors import InputError
from cloze.runtime.compiled import compiled
from cloze.text.shards import Shard

SPECIAL = 5
"""Ids below are those of [PAD], [UNK], [CLS], [SEP] and [MASK]."""

SAMPLES = 1001
"""Places of a ramp from which its mean is taken."""

_PAIRS, _ORDER, _MASKS = range(3)  # the random streams of one (seed, epoch, window)


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """The size of a global batch, in tokens or in sequences: exactly one of both is given.

    Attributes:
        tokens: a batch takes sequences as long as it has at most this many tokens.
        sequences: a batch is this many sequences, as in the paper.
        final: the size at the end of the phase, in the same unit; None for the same all along.
        ramp: the way there, see `cloze.data.pretraining.ramps`.
    """

    tokens: int | None = None
    sequences: int | None = None
    final: int | None = None
    ramp: str = "linear"

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.sequences is None):
            raise InputError(
                f"data.batch_tokens={self.tokens}, data.batch_sequences={self.sequences}: expected exactly one of them"
            )
        if (self.tokens or self.sequences or 0) < 1:
            raise InputError(f"data.batch_{'tokens' if self.tokens is not None else 'sequences'}: expected at least 1")

    @property
    def first(self) -> int:
        """The size at the beginning, in its unit."""
        return self.tokens or self.sequences or 0

    def at(self, share: float) -> int:
        """The size after a share of the phase, in its unit."""
        return round(ramped(self.first, self.final, share, self.ramp))

    def constant(self) -> "BatchSize":
        """As it is at the end, all along."""
        last = self.final or self.first
        return BatchSize(tokens=last) if self.sequences is None else BatchSize(sequences=last)

    def most_tokens(self, max_length: int) -> int:
        """No batch has more tokens than this."""
        return max(self.first, self.final or 0) * self._longest(max_length)

    def mean_tokens(self, max_length: int) -> float:
        """Of all batches of a phase, where sequences are full."""
        if self.final is None:
            return float(self.most_tokens(max_length))
        return sum(self.at(i / (SAMPLES - 1)) for i in range(SAMPLES)) / SAMPLES * self._longest(max_length)

    def _longest(self, max_length: int) -> int:
        """Tokens of what is counted."""
        return 1 if self.sequences is None else max_length


class Plan(NamedTuple):
    """The sequences of one shard in one epoch.

    Attributes:
        rows: (sequences, 5) int64, see ``cloze.data.pretraining.pairs``, in training order.
        lengths: (sequences,) int64, tokens with [CLS] and [SEP].
        batches: (batches+1,) int64, offsets of the global batches into the sequences.
        keys: (sequences,) uint64, from which the masks of each sequence are drawn.
    """

    rows: IntArray
    lengths: IntArray
    batches: IntArray
    keys: npt.NDArray[np.uint64]

    @property
    def num_batches(self) -> int:
        return len(self.batches) - 1


class Sequences(NamedTuple):
    """Sequences of a plan, from which an objective makes a batch.

    Attributes:
        shard: the tokens.
        plan: of this shard.
        chosen: (B,) int64, indices into the plan, in the order wanted.
        vocabulary: special ids and continuation tokens.
        position: of training, from 0 (beginning) to 1 (end).
    """

    shard: Shard
    plan: Plan
    chosen: IntArray
    vocabulary: Vocabulary
    position: float = 0.0

    @property
    def lengths(self) -> IntArray:
        """(B,) int64, tokens with [CLS] and [SEP]."""
        return self.plan.lengths[self.chosen]

    @property
    def pair_labels(self) -> IntArray:
        """(B,) int64, see ``cloze.data.pretraining.pairs``."""
        labels: IntArray = self.plan.rows[self.chosen, LABEL]
        return labels

    def generators(self) -> Iterator[np.random.Generator]:
        """Random numbers for each sequence: the same in every micro-batch and on every rank."""
        for sequence in self.chosen:
            yield np.random.Generator(np.random.Philox(key=int(self.plan.keys[sequence])))


def make_plan(
    shard: Shard,
    segments: Segments,
    size: BatchSize,
    *,
    seed: int,
    epoch: int,
    shard_index: int,
    keep_remainder: bool = False,
    budgets: Callable[[int], int] | None = None,
) -> Plan:
    """The plan of a shard.

    Args:
        shard: gives the boundaries; its tokens are not read.
        segments: which pairs, how long.
        size: of the global batches.
        seed: of the run.
        epoch: counts from 0.
        shard_index: the index in the manifest of the shard, or the first of those joined.
        keep_remainder: keep the last batch although it is not full (evaluation). In training it is dropped, other
            sequences every epoch, unless it is the shard's only batch.
        budgets: the size of each batch of the shard, in the unit of ``size``, where they differ.
    """
    key = key_of(seed, epoch, shard_index)
    rows = segments.rows(shard, key_of(key, _PAIRS))
    rows = rows[permutation(len(rows), stream(key_of(key, _ORDER)))]
    # [CLS] A [SEP], and B [SEP] where there is a B
    lengths = rows[:, A_LENGTH] + rows[:, B_LENGTH] + 2 + (rows[:, B_LENGTH] > 0)
    weights = lengths if size.tokens is not None else np.ones_like(lengths)
    if budgets is None:
        batches = _fill(weights, np.array([size.first]), keep_remainder)
    else:
        batches = _filled(weights, budgets, keep_remainder)
    return Plan(rows, lengths, batches, children(key_of(key, _MASKS), len(rows)))


def random_sequences(lengths: Sequence[int], segments: Segments, vocab_size: int) -> Sequences:
    """Sequences of these lengths with random tokens, as an objective takes them; every second pair is a true one."""
    generator, special = np.random.default_rng(0), segments.special_tokens
    text = np.array(lengths, np.int64) - special
    starts = np.concatenate([[0], text.cumsum()])
    second = text // 2 if segments.pairs != "none" else np.zeros_like(text)
    first = text - second
    labels = np.arange(len(text)) % 2 if segments.pairs != "none" else np.full_like(text, IGNORED_LABEL)
    rows = np.stack([starts[:-1], first, starts[:-1] + first, second, labels], axis=1)
    tokens = generator.integers(SPECIAL, vocab_size, starts[-1], dtype=np.uint32)
    plan = Plan(rows, text + special, np.array([0, len(text)]), children(key_of(0), len(text)))
    vocabulary = Vocabulary(vocab_size, 2, 3, 4, 0, np.zeros(vocab_size, np.bool_))
    return Sequences(Shard(tokens, starts, np.array([0, len(text)])), plan, np.arange(len(text)), vocabulary)


def _filled(weights: IntArray, budgets: Callable[[int], int], keep_remainder: bool) -> IntArray:
    """As ``_fill``, with a budget of its own for each batch; only as many are asked for as the weights fill."""
    asked: list[int] = []
    room, needed = 0, 2 * int(weights.sum())  # two neighbouring batches together fill more than one
    while room <= needed and len(asked) <= len(weights):
        asked.append(budgets(len(asked)))
        room += asked[-1]
    return _fill(weights, np.array(asked, np.int64), keep_remainder)


@compiled
def _fill(weights: IntArray, budgets: IntArray, keep_remainder: bool) -> IntArray:
    """Offsets of runs of neighbours whose weights sum to at most a budget each; the next one would exceed it.

    The last of the budgets is that of all batches behind it, too.
    """
    offsets = np.zeros(len(weights) + 1, np.int64)
    count, total, budget = 0, 0, budgets[0]
    for i in range(len(weights)):
        if total and total + weights[i] > budget:
            count += 1
            offsets[count] = i
            total, budget = 0, budgets[min(count, len(budgets) - 1)]
        total += weights[i]
    if total == budget or (total and (keep_remainder or count == 0)):
        count += 1
        offsets[count] = len(weights)
    return offsets[: count + 1].copy()
