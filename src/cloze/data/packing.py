"""From spans of a shard to packed, masked tensors: cutting a global batch into micro-batches and filling them.

Legend: B sequences, N packed tokens, M masked tokens of a micro-batch.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.data.masking import (
    MASKED,
    RANDOM,
    UNTOUCHED,
    WHOLE_WORD,
    Masking,
    Scratch,
    Vocabulary,
    choose,
    make_scratch,
    num_to_predict,
)
from cloze.data.pairs import A_LENGTH, A_START, B_LENGTH, B_START, LABEL, IntArray
from cloze.data.plan import Plan
from cloze.data.random import below, compiled, split
from cloze.text.shards import Shard


class StaticShape(NamedTuple):
    """The constants to which micro-batches are filled.

    ``tokens`` always suffices. ``sequences`` and ``predictions`` suffice for all but batches of the very shortest
    sequences, which take the next multiple: nothing is ever left out.
    """

    tokens: int
    sequences: int
    predictions: int

    @classmethod
    def of(cls, most_tokens: int, max_length: int, micro_batches: int, mask_rate: float) -> "StaticShape":
        """The shape for global batches of at most ``most_tokens`` tokens cut into ``micro_batches``.

        Longest-first greedy cutting exceeds the mean by less than (1 - 1/k) of a sequence (Graham 1969).
        """
        mean = most_tokens / micro_batches
        tokens = _round_up(math.ceil(mean + (1 - 1 / micro_batches) * max_length), 8)
        # Rounding each sequence's count to an integer spreads their sum by far less than these four per cent and 8.
        return cls(tokens, _round_up(tokens // 16 + 2, 8), _round_up(math.ceil(1.04 * mask_rate * tokens) + 8, 8))


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def cut(lengths: IntArray, micro_batches: int) -> list[IntArray]:
    """Cut sequences into micro-batches of nearly equal tokens: each the longest left, to the one with the fewest.

    Args:
        lengths: (n,) tokens of each sequence.
        micro_batches: ranks times accumulation steps.

    Returns:
        ``micro_batches`` arrays of indices into ``lengths``, the longest sequence first; their tokens differ by at most
        one sequence. Some are empty where there are fewer sequences than micro-batches.
    """
    order = np.argsort(-lengths, kind="stable")
    owner = _deal(lengths[order], micro_batches)
    return [order[owner == i] for i in range(micro_batches)]


@compiled
def _deal(lengths: IntArray, micro_batches: int) -> IntArray:
    owner = np.empty(len(lengths), np.int64)
    loads = np.zeros(micro_batches, np.int64)
    for i in range(len(lengths)):
        lightest = 0
        for j in range(1, micro_batches):
            if loads[j] < loads[lightest]:
                lightest = j
        owner[i] = lightest
        loads[lightest] += lengths[i]
    return owner


def count_masked(shard: Shard, plan: Plan, sequences: IntArray, masking: Masking, vocabulary: Vocabulary) -> int:
    """Tokens to be predicted in these sequences of a plan: known from their lengths, but for whole words."""
    rows = plan.rows[sequences]
    if masking.kind != WHOLE_WORD:
        return int(_planned(rows, plan.lengths[sequences], masking).sum())
    scratch = make_scratch(int(plan.lengths.max()))
    return int(_count_chosen(shard.tokens, rows, sequences, plan.mask_key, masking, vocabulary, scratch))


class _Tokens(NamedTuple):
    """The arrays of a micro-batch that compiled code writes; names as in ``cloze.batch``."""

    input_ids: IntArray
    token_type_ids: IntArray
    position_ids: IntArray
    masked_positions: IntArray
    masked_labels: IntArray

    @classmethod
    def padding(cls, tokens: int, predictions: int, pad: int) -> "_Tokens":
        """So many [PAD] in segment A, and predictions that are ignored; positions are not set yet."""
        return cls(
            np.full(tokens, pad),
            np.zeros(tokens, np.int64),
            np.empty(tokens, np.int64),
            np.zeros(predictions, np.int64),
            np.full(predictions, IGNORED_LABEL),
        )


def pack(
    shard: Shard,
    plan: Plan,
    sequences: IntArray,
    masking: Masking,
    vocabulary: Vocabulary,
    *,
    max_length: int,
    global_masked: int,
    global_pairs: int,
    static: StaticShape | None = None,
) -> PretrainingBatch:
    """The micro-batch of some sequences of a plan, masked.

    Args:
        shard: the tokens.
        plan: of this shard.
        sequences: (B,) indices into the plan, in the order wanted.
        masking: how to mask.
        vocabulary: special ids and continuation pieces.
        max_length: no sequence is longer; becomes ``max_seqlen`` of a static shape.
        global_masked: of the whole global batch, see ``PretrainingBatch``.
        global_pairs: likewise.
        static: fill up to these constants with sequences of [PAD], empty sequences and ignored labels. Without, only
            a micro-batch that got no sequence gets one of [PAD].
    """
    rows, lengths = plan.rows[sequences], plan.lengths[sequences]
    num_tokens, num_masked = int(lengths.sum()), int(_planned(rows, lengths, masking).sum())
    num_padding = static.tokens - num_tokens if static else 2 * (num_tokens == 0)
    padding = np.minimum(max_length, num_padding - np.arange(0, num_padding, max_length))
    bounds = np.cumsum(np.concatenate([lengths, padding]))
    num_sequences, num_predictions = len(bounds), max(num_masked, 1)
    if static:
        num_sequences = _round_up(num_sequences, static.sequences)
        num_predictions = _round_up(num_predictions, static.predictions)

    arrays = _Tokens.padding(num_tokens + num_padding, num_predictions, vocabulary.pad)
    arrays.position_ids[num_tokens:] = np.arange(num_padding) % max_length
    filled = _fill(arrays, shard.tokens, rows, sequences, plan.mask_key, masking, vocabulary, make_scratch(max_length))
    if static is None:  # whole words may have left a gap
        arrays = arrays._replace(
            masked_positions=arrays.masked_positions[: max(filled, 1)],
            masked_labels=arrays.masked_labels[: max(filled, 1)],
        )
    cu_seqlens = np.full(num_sequences + 1, num_tokens + num_padding, np.int32)
    cu_seqlens[0] = 0
    cu_seqlens[1 : len(bounds) + 1] = bounds
    next_sentence_labels = np.full(num_sequences, IGNORED_LABEL)
    next_sentence_labels[: len(rows)] = rows[:, LABEL]

    ids, types, positions, masked_positions, masked_labels = (torch.from_numpy(array) for array in arrays)
    longest = max_length if static else int(max(lengths.max(initial=0), padding.max(initial=0)))
    return PretrainingBatch(
        Packed(ids, types, positions, torch.from_numpy(cu_seqlens), longest),
        masked_positions,
        masked_labels,
        torch.from_numpy(next_sentence_labels),
        num_tokens,
        global_masked,
        global_pairs,
    )


@compiled
def _planned(rows: IntArray, lengths: IntArray, masking: Masking) -> IntArray:
    """(B,) the number of tokens to predict in each sequence."""
    counts = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        special_tokens = 3 if rows[i, B_LENGTH] else 2
        counts[i] = num_to_predict(lengths[i], special_tokens, masking.rate, masking.most)
    return counts


@compiled
def _fill(
    arrays: _Tokens,
    tokens: IntArray,
    rows: IntArray,
    sequences: IntArray,
    mask_key: np.uint64,
    masking: Masking,
    vocabulary: Vocabulary,
    scratch: Scratch,
) -> int:
    """Write the sequences one behind the other, masked; the number of masked tokens."""
    begin, masked = 0, 0
    for i in range(len(rows)):
        length, second = _assemble(scratch.ids, tokens, rows[i], vocabulary)
        scratch.state[0] = split(mask_key, sequences[i])
        choose(scratch, length, second, masking, vocabulary.continues)
        for j in range(length):
            token = scratch.ids[j]
            arrays.token_type_ids[begin + j] = j >= second
            arrays.position_ids[begin + j] = j
            treatment = scratch.treatment[j]
            if treatment != UNTOUCHED:
                arrays.masked_positions[masked] = begin + j
                arrays.masked_labels[masked] = token
                masked += 1
                if treatment == MASKED:
                    token = vocabulary.mask
                elif treatment == RANDOM:
                    token = below(scratch.state, vocabulary.size)
            arrays.input_ids[begin + j] = token
        begin += length
    return masked


@compiled
def _count_chosen(
    tokens: IntArray,
    rows: IntArray,
    sequences: IntArray,
    mask_key: np.uint64,
    masking: Masking,
    vocabulary: Vocabulary,
    scratch: Scratch,
) -> int:
    masked = 0
    for i in range(len(rows)):
        length, second = _assemble(scratch.ids, tokens, rows[i], vocabulary)
        scratch.state[0] = split(mask_key, sequences[i])
        masked += choose(scratch, length, second, masking, vocabulary.continues)
    return masked


@compiled
def _assemble(ids: IntArray, tokens: IntArray, row: IntArray, vocabulary: Vocabulary) -> tuple[int, int]:
    """Write [CLS] A [SEP] B [SEP], or [CLS] A [SEP]; the length and where B begins."""
    a_length, b_length = row[A_LENGTH], row[B_LENGTH]
    ids[0] = vocabulary.cls
    for j in range(a_length):
        ids[1 + j] = tokens[row[A_START] + j]
    ids[a_length + 1] = vocabulary.sep
    second = a_length + 2
    if b_length == 0:
        return second, second
    for j in range(b_length):
        ids[second + j] = tokens[row[B_START] + j]
    ids[second + b_length] = vocabulary.sep
    return second + b_length + 1, second
