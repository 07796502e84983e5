"""Which tokens of a sequence are predicted and what stands in their place: a pure, compiled function of a key."""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cloze.data.objective import MASKINGS, Objective
from cloze.data.pairs import IntArray
from cloze.data.random import State, below, compiled, uniform

TOKEN, WHOLE_WORD, SPAN = range(len(MASKINGS))
UNTOUCHED, MASKED, RANDOM, KEPT = range(4)  # what happens to a token; all but the first are predicted

LONGEST_SPAN = 10
SPAN_STOP = 0.2
"""Lengths in words are geometric, cut off at the longest (Joshi et al. 2020, section 3.1): 3.8 words on average."""


class Vocabulary(NamedTuple):
    """What of the tokenizer the batches need.

    Attributes:
        size: number of tokens.
        cls, sep, mask, pad: ids of the special tokens.
        continues: (size,) bool, pieces that continue a word ("##...").
    """

    size: int
    cls: int
    sep: int
    mask: int
    pad: int
    continues: npt.NDArray[np.bool_]


class Masking(NamedTuple):
    """How to mask at one point of training: the objective with its mask rate resolved, as compiled code takes it."""

    kind: int
    rate: float
    most: int
    mask_share: float
    random_share: float

    @classmethod
    def of(cls, objective: Objective, rate: float) -> "Masking":
        return cls(
            MASKINGS.index(objective.masking),
            rate,
            objective.most_predictions,
            objective.mask_token_share,
            objective.random_token_share,
        )


class Scratch(NamedTuple):
    """Reused memory for the work on one sequence: T is the longest length.

    Attributes:
        ids: (T,) int64, the tokens before masking.
        words: (T, 2) int64, first and one past the last position of each word.
        treatment: (T,) int64, ``UNTOUCHED`` to ``KEPT``.
        state: (1,) uint64, of the random generator.
    """

    ids: IntArray
    words: IntArray
    treatment: IntArray
    state: State


@compiled
def make_scratch(longest: int) -> Scratch:
    return Scratch(
        np.empty(longest, np.int64),
        np.empty((longest, 2), np.int64),
        np.empty(longest, np.int64),
        np.empty(1, np.uint64),
    )


@compiled
def num_to_predict(length: int, special_tokens: int, rate: float, most: int) -> int:
    """Google's count: of the length with [CLS] and [SEP], rounded half to even, between 1 and the most."""
    return min(most, length - special_tokens, max(1, int(np.rint(length * rate))))


@compiled
def choose(scratch: Scratch, length: int, second: int, masking: Masking, continues: npt.NDArray[np.bool_]) -> int:
    """Decide the treatment of each token of ``scratch.ids[:length]``; [CLS] and [SEP] are never touched.

    Args:
        scratch: ``ids`` and ``state`` are read, ``words`` and ``treatment`` written.
        length: tokens of the sequence.
        second: where segment B begins; ``length`` for no B.
        masking: how.
        continues: see ``Vocabulary``.

    Returns:
        How many tokens are to be predicted: ``num_to_predict``, less only where whole words leave a gap.
    """
    scratch.treatment[:length] = UNTOUCHED
    merge = masking.kind != TOKEN
    count = _find_words(scratch, 0, 1, second - 1, merge, continues)
    if second < length:
        count = _find_words(scratch, count, second, length - 1, merge, continues)
    wanted = num_to_predict(length, 2 if second == length else 3, masking.rate, masking.most)
    if masking.kind == SPAN:
        return _choose_spans(scratch, count, wanted, masking)
    return _choose_words(scratch, count, wanted, masking)


@compiled
def _find_words(
    scratch: Scratch, count: int, begin: int, end: int, merge: bool, continues: npt.NDArray[np.bool_]
) -> int:
    """Append the words of one segment; a piece that continues a word cut off before the segment begins its own."""
    for i in range(begin, end):
        if merge and i > begin and continues[scratch.ids[i]]:
            scratch.words[count - 1, 1] = i + 1
        else:
            scratch.words[count, 0] = i
            scratch.words[count, 1] = i + 1
            count += 1
    return count


@compiled
def _choose_words(scratch: Scratch, count: int, wanted: int, masking: Masking) -> int:
    """Words in random order, without those that would exceed the number (Google's rule, whole-word or not)."""
    words, state = scratch.words, scratch.state
    chosen = 0
    for i in range(count):
        if chosen == wanted:
            break
        j = i + below(state, count - i)
        begin, end = words[j, 0], words[j, 1]
        words[j, 0], words[j, 1] = words[i, 0], words[i, 1]
        if chosen + end - begin > wanted:
            continue
        for position in range(begin, end):
            scratch.treatment[position] = _treatment(masking, state)
        chosen += end - begin
    return chosen


@compiled
def _choose_spans(scratch: Scratch, count: int, wanted: int, masking: Masking) -> int:
    """Runs of whole words, treated alike, until the number is reached; the last run may be cut short (SpanBERT)."""
    words, state, treatment = scratch.words, scratch.state, scratch.treatment
    chosen = 0
    while chosen < wanted:
        word = below(state, count)
        length = 1
        while length < LONGEST_SPAN and uniform(state) >= SPAN_STOP:
            length += 1
        if length == LONGEST_SPAN and uniform(state) >= SPAN_STOP:
            continue
        if treatment[words[word, 0]] != UNTOUCHED:
            continue
        what = _treatment(masking, state)
        for following in range(word, min(word + length, count)):
            if following > word and words[following, 0] != words[following - 1, 1]:
                break  # a [SEP] lies between
            for position in range(words[following, 0], words[following, 1]):
                if chosen < wanted and treatment[position] == UNTOUCHED:
                    treatment[position] = what
                    chosen += 1
    return chosen


@compiled
def _treatment(masking: Masking, state: State) -> int:
    """80 % [MASK], 10 % a random token, 10 % as it is."""
    where = uniform(state)
    if where < masking.mask_share:
        return MASKED
    return RANDOM if where < masking.mask_share + masking.random_share else KEPT
