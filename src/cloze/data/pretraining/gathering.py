"""Put sequences of several windows together into one, as those of a global batch that mixes corpora."""

from collections.abc import Sequence

import numpy as np

from cloze.data.pretraining.pairs import A_LENGTH, A_START, B_LENGTH, B_START
from cloze.data.pretraining.plan import Plan, Sequences
from cloze.data.splitmix import IntArray
from cloze.runtime.compiled import compiled
from cloze.text.shards import Shard


def gathered(found: Sequence[Sequences]) -> Sequences:
    """Sequences one behind the other, their tokens copied; of a single window its own, without a copy.

    Args:
        found: of one vocabulary and one position in training.
    """
    if len(found) == 1:
        return found[0]
    rows = [one.plan.rows[one.chosen] for one in found]
    sizes = [int(part[:, A_LENGTH].sum() + part[:, B_LENGTH].sum()) for part in rows]
    tokens = np.empty(sum(sizes), found[0].shard.tokens.dtype)
    segmented = all(one.shard.continues is not None for one in found)
    continues = np.empty(len(tokens), np.bool_) if segmented else None
    begin = 0
    for one, part, size in zip(found, rows, sizes, strict=True):
        _copy(one.shard.tokens, part, tokens[begin : begin + size])
        if continues is not None and one.shard.continues is not None:
            _copy(one.shard.continues, part, continues[begin : begin + size])
        _place(part, begin)
        begin += size
    tokens.flags.writeable = False  # as those of a file: what is compiled for them serves these, too
    together, lengths = np.concatenate(rows), np.concatenate([one.lengths for one in found])
    keys = np.concatenate([one.plan.keys[one.chosen] for one in found])
    ends = np.array([0, len(tokens)])
    plan = Plan(together, lengths, np.array([0, len(together)]), keys)
    return Sequences(
        Shard(tokens, ends, np.array([0, 1]), continues),
        plan,
        np.arange(len(together)),
        found[0].vocabulary,
        found[0].position,
    )


@compiled
def _copy(source: IntArray, rows: IntArray, target: IntArray) -> None:
    """Write the segments of the rows one behind the other."""
    place = 0
    for i in range(len(rows)):
        for j in range(rows[i, A_LENGTH]):
            target[place + j] = source[rows[i, A_START] + j]
        place += rows[i, A_LENGTH]
        for j in range(rows[i, B_LENGTH]):
            target[place + j] = source[rows[i, B_START] + j]
        place += rows[i, B_LENGTH]


@compiled
def _place(rows: IntArray, begin: int) -> None:
    """Say where the segments lie now."""
    for i in range(len(rows)):
        rows[i, A_START] = begin
        begin += rows[i, A_LENGTH]
        rows[i, B_START] = begin
        begin += rows[i, B_LENGTH]
