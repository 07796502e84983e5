"""Build packed, masked tensors from spans of a shard, split into micro-batches.

Legend: B sequences, N packed tokens, M masked tokens of a micro-batch.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.data.pretraining.masking import (
    MASKED,
    RANDOM,
    TOKEN,
    UNTOUCHED,
    WHOLE_WORD,
    Masking,
    Scratch,
    Vocabulary,
    choose,
    make_scratch,
    num_to_predict,
)
from cloze.data.pretraining.pairs import A_LENGTH, A_START, B_LENGTH, B_START, LABEL
from cloze.data.pretraining.plan import Sequences
from cloze.data.splitmix import GAMMA, IntArray, mix, next_below, split
from cloze.runtime.compiled import compiled
from cloze.text.shards import Shard


class StaticShape(NamedTuple):
    """The constants to which micro-batches are filled.

    ``tokens`` always suffices. ``sequences`` and ``predictions`` suffice for all but batches of the very shortest
    sequences, which take the next multiple: nothing is ever left out.
    """

    tokens: int
    sequences: int

    @classmethod
    def of(cls, most_tokens: int, max_length: int, micro_batches: int) -> "StaticShape":
        """The shape for global batches of at most ``most_tokens`` tokens split into ``micro_batches``.

        Longest-first greedy splitting exceeds the mean by less than (1 - 1/k) of a sequence (Graham 1969).
        """
        mean = most_tokens / micro_batches
        tokens = _round_up(math.ceil(mean + (1 - 1 / micro_batches) * max_length), 8)
        return cls(tokens, _round_up(tokens // 16 + 2, 8))

    def predictions(self, mask_rate: float) -> int:
        """Tokens to predict, at a mask rate."""
        # Rounding each sequence's count to an integer spreads their sum by far less than these four per cent and 8.
        return _round_up(math.ceil(1.04 * mask_rate * self.tokens) + 8, 8)


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def count_masked(sequences: Sequences, masking: Masking) -> int:
    """Tokens to be predicted in these sequences: known from their lengths, but for whole words and spared tokens."""
    shard, plan, chosen, vocabulary, _ = sequences
    if masking.kind != WHOLE_WORD and not len(vocabulary.spared):
        return int(_measure(plan.rows, plan.lengths, chosen, masking)[1])
    longest = int(plan.lengths.max())
    text = _text(shard)
    return int(_count_chosen(text, plan.rows, chosen, plan.keys, masking, vocabulary, longest))


class _Text(NamedTuple):
    """The tokens of a shard for compiled code, and which of them continue a word; empty where the tokens say so."""

    tokens: IntArray
    continues: npt.NDArray[np.bool_]


def _text(shard: Shard) -> _Text:
    return _Text(shard.tokens, NO_MARKS if shard.continues is None else shard.continues)


NO_MARKS = np.zeros(0, np.bool_)
UNIFORMS = 0x0E1E
"""The name of the stream of a sequence from which ``PretrainingBatch.uniforms`` are, apart from that of its masks."""


class _Arrays(NamedTuple):
    """What compiled code writes of a micro-batch; names as in ``cloze.batch``."""

    input_ids: IntArray
    token_type_ids: IntArray
    position_ids: IntArray
    cu_seqlens: npt.NDArray[np.int32]
    masked_positions: IntArray
    masked_labels: IntArray
    next_sentence_labels: IntArray
    uniforms: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, tokens: int, sequences: int, predictions: int) -> "_Arrays":
        """Not set yet: each element is written once, by ``_fill``."""
        return cls(
            np.empty(tokens, np.int64),
            np.empty(tokens, np.int64),
            np.empty(tokens, np.int64),
            np.empty(sequences + 1, np.int32),
            np.empty(predictions, np.int64),
            np.empty(predictions, np.int64),
            np.empty(sequences, np.int64),
            np.empty(predictions, np.float32),
        )


def pack(
    sequences: Sequences,
    masking: Masking,
    *,
    max_length: int,
    global_masked: int,
    global_pairs: int,
    global_tokens: int,
    static: StaticShape | None = None,
    predictions: int = 1,
) -> PretrainingBatch:
    """The micro-batch of some sequences, masked.

    Args:
        sequences: B of them.
        masking: how to mask.
        max_length: no sequence is longer; becomes ``max_seqlen`` of a static shape.
        global_masked: of the whole global batch, see ``PretrainingBatch``.
        global_pairs: likewise.
        global_tokens: likewise.
        static: fill up to these constants with sequences of [PAD], empty sequences and ignored labels. Without, only
            a micro-batch that got no sequence gets one of [PAD].
        predictions: and to a multiple of this many predictions.
    """
    shard, plan, chosen, vocabulary, _ = sequences
    num_tokens, num_masked, longest = map(int, _measure(plan.rows, plan.lengths, chosen, masking))
    num_padding = static.tokens - num_tokens if static else 2 * (num_tokens == 0)
    num_sequences, num_predictions = len(chosen) + -(-num_padding // max_length), max(num_masked, 1)
    if static:
        num_sequences = _round_up(num_sequences, static.sequences)
        num_predictions = _round_up(num_predictions, predictions)

    arrays = _Arrays.empty(num_tokens + num_padding, num_sequences, num_predictions)
    filled = _fill(arrays, _text(shard), plan.rows, chosen, plan.keys, masking, vocabulary, max_length)
    if static is None:  # whole words may have left a remainder, and spared tokens are not counted yet
        arrays = arrays._replace(
            masked_positions=arrays.masked_positions[: max(filled, 1)],
            masked_labels=arrays.masked_labels[: max(filled, 1)],
            uniforms=arrays.uniforms[: max(filled, 1)],
        )
    ids, types, positions, cu_seqlens, masked_positions, masked_labels, next_sentence_labels, uniforms = map(
        torch.from_numpy, arrays
    )
    return PretrainingBatch(
        Packed(ids, types, positions, cu_seqlens, max_length if static else max(longest, num_padding)),
        masked_positions,
        masked_labels,
        next_sentence_labels,
        num_tokens,
        global_masked,
        global_pairs,
        global_tokens,
        uniforms,
    )


@compiled
def _measure(rows: IntArray, lengths: IntArray, sequences: IntArray, masking: Masking) -> tuple[int, int, int]:
    """Tokens of these sequences, how many of them to predict, and the longest sequence."""
    tokens, predictions, longest = 0, 0, 0
    for sequence in sequences:
        length = lengths[sequence]
        tokens += length
        predictions += num_to_predict(length, 3 if rows[sequence, B_LENGTH] else 2, masking.rate, masking.most)
        longest = max(longest, length)
    return tokens, predictions, longest


@compiled
def _fill(
    arrays: _Arrays,
    text: _Text,
    rows: IntArray,
    sequences: IntArray,
    keys: npt.NDArray[np.uint64],
    masking: Masking,
    vocabulary: Vocabulary,
    max_length: int,
) -> int:
    """Write the sequences one behind the other, masked, and padding behind them; the number of masked tokens."""
    scratch = make_scratch(max_length)
    ids = scratch.ids
    begin, masked = 0, 0
    arrays.cu_seqlens[0] = 0
    for i in range(len(sequences)):
        row = rows[sequences[i]]
        length, second = _assemble(scratch, text, row, vocabulary, masking)
        key = keys[sequences[i]]
        _, place = choose(scratch, length, second, masking, key)
        numbers = split(key, UNIFORMS)
        _write(arrays, begin, ids, length, second)
        for j in range(length):
            treatment = scratch.treatment[j]
            if treatment != UNTOUCHED:
                arrays.masked_positions[masked] = begin + j
                arrays.masked_labels[masked] = ids[j]
                arrays.uniforms[masked] = _uniform_at(numbers, j)
                masked += 1
                if treatment == MASKED:
                    arrays.input_ids[begin + j] = vocabulary.mask
                elif treatment == RANDOM:
                    arrays.input_ids[begin + j], place = _random_token(vocabulary, place)
        begin += length
        arrays.cu_seqlens[i + 1] = begin
        arrays.next_sentence_labels[i] = row[LABEL]
    _pad(arrays, begin, len(sequences), masked, max_length, vocabulary.pad)
    return masked


@compiled
def _uniform_at(key: np.uint64, position: int) -> np.float32:
    """A number in [0, 1) with the 24 random bits that float32 holds, without the numbers of other positions."""
    return np.float32(np.int64(mix(key + np.uint64(position + 1) * GAMMA) >> np.uint64(40)) * 2.0**-24)


@compiled
def _random_token(vocabulary: Vocabulary, place: np.uint64) -> tuple[int, np.uint64]:
    """Any token but a spared one."""
    token, place = next_below(place, vocabulary.size)
    while len(vocabulary.spared) and vocabulary.spared[token]:
        token, place = next_below(place, vocabulary.size)
    return token, place


@compiled
def _write(arrays: _Arrays, begin: int, ids: IntArray, length: int, second: int) -> None:
    """One sequence without masks: loops without branches, which become wide moves."""
    input_ids, types, positions = arrays.input_ids, arrays.token_type_ids, arrays.position_ids
    for j in range(length):
        input_ids[begin + j] = ids[j]
    for j in range(second):
        types[begin + j] = 0
    for j in range(second, length):
        types[begin + j] = 1
    for j in range(length):
        positions[begin + j] = j


@compiled
def _pad(arrays: _Arrays, begin: int, sequence: int, masked: int, max_length: int, pad: int) -> None:
    """What is left: sequences of [PAD] in segment A, then empty ones, and predictions that are ignored."""
    for j in range(len(arrays.input_ids) - begin):
        arrays.input_ids[begin + j] = pad
        arrays.token_type_ids[begin + j] = 0
        arrays.position_ids[begin + j] = j % max_length
    for i in range(sequence, len(arrays.next_sentence_labels)):
        begin = min(begin + max_length, len(arrays.input_ids))
        arrays.cu_seqlens[i + 1] = begin
        arrays.next_sentence_labels[i] = IGNORED_LABEL
    for i in range(masked, len(arrays.masked_labels)):
        arrays.masked_positions[i] = 0
        arrays.masked_labels[i] = IGNORED_LABEL
        arrays.uniforms[i] = 0.0


@compiled
def _count_chosen(
    text: _Text,
    rows: IntArray,
    sequences: IntArray,
    keys: npt.NDArray[np.uint64],
    masking: Masking,
    vocabulary: Vocabulary,
    longest: int,
) -> int:
    scratch = make_scratch(longest)
    masked = 0
    for sequence in sequences:
        length, second = _assemble(scratch, text, rows[sequence], vocabulary, masking)
        place = keys[sequence]
        masked += choose(scratch, length, second, masking, place)[0]
    return masked


@compiled
def _assemble(
    scratch: Scratch, text: _Text, row: IntArray, vocabulary: Vocabulary, masking: Masking
) -> tuple[int, int]:
    """Write [CLS] A [SEP] B [SEP], or [CLS] A [SEP], and its marks; the length and where B begins."""
    ids, tokens = scratch.ids, text.tokens
    if masking.kind != TOKEN:
        _mark(scratch.continues, 1, text, row[A_START], row[A_LENGTH], vocabulary)
        _mark(scratch.continues, row[A_LENGTH] + 2, text, row[B_START], row[B_LENGTH], vocabulary)
    a_length, b_length = row[A_LENGTH], row[B_LENGTH]
    ids[0] = vocabulary.cls
    for j in range(a_length):
        ids[1 + j] = tokens[row[A_START] + j]
    ids[a_length + 1] = vocabulary.sep
    second = length = a_length + 2
    if b_length:
        for j in range(b_length):
            ids[second + j] = tokens[row[B_START] + j]
        ids[second + b_length] = vocabulary.sep
        length += b_length + 1
    if len(vocabulary.spared):
        for j in range(length):
            scratch.spared[j] = vocabulary.spared[ids[j]]
    return length, second


@compiled
def _mark(
    marks: npt.NDArray[np.bool_], begin: int, text: _Text, start: int, length: int, vocabulary: Vocabulary
) -> None:
    """Write which tokens of a segment continue a word: as a segmenter found it, else as the tokens say."""
    if len(text.continues):
        for j in range(length):
            marks[begin + j] = text.continues[start + j]
    else:
        for j in range(length):
            marks[begin + j] = vocabulary.continues[text.tokens[start + j]]
