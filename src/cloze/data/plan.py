"""The plan of a window of shards for an epoch: its sequences in random order, cut into global batches.

A pure function of (seed, epoch, window) and the objective. Ranks, workers and micro-batches do not occur here; nor do
windows, each of which is one shard by now (``cloze.text.shards.joined``).
"""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cloze.data.objective import Objective
from cloze.data.pairs import (
    A_LENGTH,
    B_LENGTH,
    IntArray,
    full_sentence_rows,
    next_sentence_rows,
    sentence_order_rows,
)
from cloze.data.random import compiled, key_of, permutation, stream
from cloze.errors import InputError
from cloze.text.shards import Shard

_PAIRS, _ORDER, _MASKS = range(3)  # the random streams of one (seed, epoch, window)


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """The size of a global batch, of which exactly one is given.

    Attributes:
        tokens: a batch takes sequences as long as it has at most so many tokens.
        sequences: a batch is so many sequences, as in the paper.
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

        Cutting balances for any number, so nothing has to divide; a micro-batch exceeds its share of the batch by less
        than one sequence.
        """
        return max(1, -(-self.most_tokens(max_length) // (micro_batch_tokens * ranks)))


class Plan(NamedTuple):
    """The sequences of one shard in one epoch.

    Attributes:
        rows: (sequences, 5) int64, see ``cloze.data.pairs``, in training order.
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


def make_plan(
    shard: Shard,
    objective: Objective,
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
        objective: which pairs, how long.
        size: of the global batches.
        seed: of the run.
        epoch: counts from 0.
        shard_index: the place in the manifest of the shard, or the first of those joined.
        keep_remainder: keep the last batch although it is not full (evaluation). In training it is dropped, other
            sequences every epoch, unless it is the shard's only batch.
    """
    key = key_of(seed, epoch, shard_index)
    rows = _rows(shard, objective, key_of(key, _PAIRS))
    rows = rows[permutation(len(rows), stream(key_of(key, _ORDER)))]
    # [CLS] A [SEP], and B [SEP] where there is a B
    lengths = rows[:, A_LENGTH] + rows[:, B_LENGTH] + 2 + (rows[:, B_LENGTH] > 0)
    if size.tokens is not None:
        batches = _fill(lengths, size.tokens, keep_remainder)
    else:
        batches = _fill(np.ones_like(lengths), size.sequences, keep_remainder)
    return Plan(rows, lengths, batches, key_of(key, _MASKS))


def _rows(shard: Shard, objective: Objective, key: np.uint64) -> IntArray:
    sentences, documents = shard.sentence_offsets, shard.document_offsets
    if len(sentences) < 2:
        return np.empty((0, 5), np.int64)
    max_tokens = objective.max_length - objective.special_tokens
    if objective.pairs == "none":
        return full_sentence_rows(sentences, documents, max_tokens)
    rows = next_sentence_rows if objective.pairs == "next_sentence" else sentence_order_rows
    return rows(sentences, documents, max_tokens, objective.short_sequence_rate, key)


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
