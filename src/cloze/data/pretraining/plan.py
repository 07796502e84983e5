"""The plan of a window of shards for an epoch: its sequences in random order, split into global batches.

A pure function of (seed, epoch, window) and of which segments make a sequence. Ranks, workers and micro-batches do not
occur here; nor do windows, each of which is one shard by now (``cloze.text.shards.joined``).
"""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cloze.batch import IGNORED_LABEL
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.pairs import A_LENGTH, B_LENGTH, LABEL, Segments
from cloze.data.splitmix import IntArray, key_of, permutation, split, stream
from cloze.errors import InputError
from cloze.runtime.compiled import compiled
from cloze.text.shards import Shard

SPECIAL = 5
"""Ids below are those of [PAD], [UNK], [CLS], [SEP] and [MASK]."""

_PAIRS, _ORDER, _MASKS = range(3)  # the random streams of one (seed, epoch, window)


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """The size of a global batch; exactly one of the fields is given.

    Attributes:
        tokens: a batch takes sequences as long as it has at most this many tokens.
        sequences: a batch is this many sequences, as in the paper.
    """

    tokens: int | None = None
    sequences: int | None = None

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.sequences is None):
            raise InputError(
                f"data.batch_tokens={self.tokens}, data.batch_sequences={self.sequences}: expected exactly one of them"
            )
        if (self.tokens or self.sequences or 0) < 1:
            raise InputError(f"data.batch_{'tokens' if self.tokens is not None else 'sequences'}: expected at least 1")

    def most_tokens(self, max_length: int) -> int:
        """No batch has more tokens than this."""
        return self.tokens or (self.sequences or 0) * max_length

    def accumulation(self, max_length: int, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about ``micro_batch_tokens``.

        Splitting balances for any number, so nothing has to divide; a micro-batch exceeds its share of the batch by
        less than one sequence.
        """
        return max(1, -(-self.most_tokens(max_length) // (micro_batch_tokens * ranks)))


class Plan(NamedTuple):
    """The sequences of one shard in one epoch.

    Attributes:
        rows: (sequences, 5) int64, see ``cloze.data.pretraining.pairs``, in training order.
        lengths: (sequences,) int64, tokens with [CLS] and [SEP].
        batches: (batches+1,) int64, offsets of the global batches into the sequences.
        mask_key: the key whose child ``i`` draws the masks of sequence ``i``.
    """

    rows: IntArray
    lengths: IntArray
    batches: IntArray
    mask_key: np.uint64

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
            yield np.random.Generator(np.random.Philox(key=int(split(self.plan.mask_key, sequence))))


def make_plan(
    shard: Shard,
    segments: Segments,
    size: BatchSize,
    *,
    seed: int,
    epoch: int,
    shard_index: int,
    keep_remainder: bool = False,
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
    """
    key = key_of(seed, epoch, shard_index)
    rows = segments.rows(shard, key_of(key, _PAIRS))
    rows = rows[permutation(len(rows), stream(key_of(key, _ORDER)))]
    # [CLS] A [SEP], and B [SEP] where there is a B
    lengths = rows[:, A_LENGTH] + rows[:, B_LENGTH] + 2 + (rows[:, B_LENGTH] > 0)
    if size.tokens is not None:
        batches = _fill(lengths, size.tokens, keep_remainder)
    else:
        batches = _fill(np.ones_like(lengths), size.sequences, keep_remainder)
    return Plan(rows, lengths, batches, key_of(key, _MASKS))


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
    plan = Plan(rows, text + special, np.array([0, len(text)]), np.uint64(0))
    vocabulary = Vocabulary(vocab_size, 2, 3, 4, 0, np.zeros(vocab_size, np.bool_))
    return Sequences(Shard(tokens, starts, np.array([0, len(text)])), plan, np.arange(len(text)), vocabulary)


@compiled
def _fill(weights: IntArray, budget: int, keep_remainder: bool) -> IntArray:
    """Offsets of runs of neighbours whose weights sum to at most the budget; the next one would exceed it."""
    offsets = np.zeros(len(weights) + 1, np.int64)
    count, total = 0, 0
    for i in range(len(weights)):
        if total and total + weights[i] > budget:
            count += 1
            offsets[count] = i
            total = 0
        total += weights[i]
    if total == budget or (total and (keep_remainder or count == 0)):
        count += 1
        offsets[count] = len(weights)
    return offsets[: count + 1].copy()
