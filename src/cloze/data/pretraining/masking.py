"""Choose masked tokens and their replacements: a pure, compiled function of a key."""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from cloze.data.pretraining.settings import MASKINGS
from cloze.data.splitmix import IntArray, next_below, next_uniform
from cloze.runtime.compiled import compiled
from cloze.text.special_tokens import SpecialTokens

TOKEN, WHOLE_WORD, SPAN = range(len(MASKINGS))
UNTOUCHED, MASKED, RANDOM, KEPT = range(4)  # what happens to a token; all but the first are predicted

NONE_SPARED = np.zeros(0, np.bool_)

LONGEST_SPAN = 10
SPAN_STOP = 0.2
"""Lengths in words are geometric, truncated at the longest (Joshi et al. 2020, section 3.1): 3.8 words on average."""


class Vocabulary(NamedTuple):
    """What of the tokenizer the batches need.

    Attributes:
        size: number of tokens.
        cls, sep, mask, pad: ids of the special tokens; -1 for a mask that the tokenizer has not.
        continues: (size,) bool, tokens that continue a word ("##...").
        spared: (size,) bool, special tokens of the user's own, which are no more masked than [CLS] and [SEP] are, nor
            drawn as random tokens; (0,) for none.
    """

    size: int
    cls: int
    sep: int
    mask: int
    pad: int
    continues: npt.NDArray[np.bool_]
    spared: npt.NDArray[np.bool_] = NONE_SPARED

    @classmethod
    def of(cls, tokenizer: Tokenizer, special: SpecialTokens, continues: npt.NDArray[np.bool_] | None) -> Self:
        """That of a tokenizer.

        Args:
            tokenizer: it.
            special: its special tokens, which are not spared.
            continues: of `cloze.text.word_boundaries.continues_word`.
        """
        size, spared = tokenizer.get_vocab_size(), NONE_SPARED
        added = tokenizer.get_added_tokens_decoder().items()
        own = [number for number, token in added if token.special and token.content not in special.contents]
        if own:
            spared = np.zeros(max(size, *own) + 1, np.bool_)
            spared[own] = True
        return cls(
            size=size,
            cls=special.cls.id,
            sep=special.sep.id,
            mask=-1 if special.mask is None else special.mask.id,
            pad=special.filler,
            continues=np.zeros(size, np.bool_) if continues is None else continues,
            spared=spared,
        )


class Masking(NamedTuple):
    """How to mask at one point of training: the objective with its mask rate resolved, as compiled code takes it."""

    kind: int
    rate: float
    most: int
    mask_share: float
    random_share: float


NO_MASKS = Masking(TOKEN, 0.0, 0, 0.0, 0.0)


class Scratch(NamedTuple):
    """Reused memory for the work on one sequence: T is the longest length.

    Attributes:
        ids: (T,) int64, the tokens before masking.
        continues: (T,) bool, of the tokens: whether one continues the word of the token before it; read for masks of
            whole words and spans only.
        spared: (T,) bool, of the tokens: whether one is never masked; read only where there may be any.
        begins, ends: (T,) int64, first and one past the last position of each word.
        treatment: (T,) uint8, ``UNTOUCHED`` to ``KEPT``.
    """

    ids: IntArray
    continues: npt.NDArray[np.bool_]
    spared: npt.NDArray[np.bool_]
    begins: IntArray
    ends: IntArray
    treatment: npt.NDArray[np.uint8]


@compiled
def make_scratch(longest: int) -> Scratch:
    return Scratch(
        np.empty(longest, np.int64),
        np.empty(longest, np.bool_),
        np.zeros(longest, np.bool_),
        np.empty(longest, np.int64),
        np.empty(longest, np.int64),
        np.empty(longest, np.uint8),
    )


@compiled
def num_to_predict(length: int, special_tokens: int, rate: float, most: int) -> int:
    """Google's count: of the length with [CLS] and [SEP], rounded half to even, between 1 and the most."""
    return min(most, length - special_tokens, max(1, int(np.rint(length * rate))))


@compiled
def choose(
    scratch: Scratch,
    length: int,
    second: int,
    masking: Masking,
    place: np.uint64,
) -> tuple[int, np.uint64]:
    """Decide the treatment of each token of ``scratch.ids[:length]``; [CLS], [SEP] and spared ones are never touched.

    Args:
        scratch: ``ids``, ``continues`` and ``spared`` are read, all else written.
        length: tokens of the sequence.
        second: where segment B begins; ``length`` for no B.
        masking: how.
        place: in the random stream of the sequence.

    Returns:
        How many tokens are to be predicted (``num_to_predict``, less only where whole words leave a remainder), and the
        position in the random stream after the choice.
    """
    spared = 0
    for i in range(length):
        scratch.treatment[i] = UNTOUCHED
        spared += scratch.spared[i]
    wanted = num_to_predict(length - spared, 2 if second == length else 3, masking.rate, masking.most)
    if masking.kind == TOKEN:
        return _choose_tokens(scratch, length, second, wanted, masking, place)
    if spared:
        _end_words(scratch, length)
    count = _find_words(scratch, 0, 1, second - 1)
    if second < length:
        count = _find_words(scratch, count, second, length - 1)
    if spared:
        count = _without_spared(scratch, count)
    if masking.kind == SPAN:
        return _choose_spans(scratch, count, wanted, masking, place)
    return _choose_words(scratch, count, wanted, masking, place)


@compiled
def _end_words(scratch: Scratch, length: int) -> None:
    """Let a spared token be a word by itself, whatever stands around it."""
    for i in range(1, length):
        if scratch.spared[i] or scratch.spared[i - 1]:
            scratch.continues[i] = False


@compiled
def _without_spared(scratch: Scratch, count: int) -> int:
    """Leave out the words that are spared tokens; how many others there are."""
    begins, ends, kept = scratch.begins, scratch.ends, 0
    for i in range(count):
        if not scratch.spared[begins[i]]:
            begins[kept], ends[kept] = begins[i], ends[i]
            kept += 1
    return kept


@compiled
def _find_words(scratch: Scratch, count: int, begin: int, end: int) -> int:
    """Append the words of one segment; a token that continues a word split before the segment begins its own."""
    begins, ends, continues = scratch.begins, scratch.ends, scratch.continues
    for i in range(begin, end):
        begins[count] = i  # stays only if a word begins here: a branch would be mispredicted at every third token
        count += i == begin or not continues[i]
        ends[count - 1] = i + 1
    return count


@compiled
def _choose_tokens(
    scratch: Scratch, length: int, second: int, wanted: int, masking: Masking, place: np.uint64
) -> tuple[int, np.uint64]:
    """Tokens in random order, each a word of its own: ``_choose_words`` draws the same."""
    order, count = scratch.begins, 0
    for i in range(1, length - 1):
        order[count] = i  # stays only if it may be chosen
        count += i != second - 1 and not scratch.spared[i]
    for i in range(wanted):
        j, place = next_below(place, count - i)
        position = order[i + j]
        order[i + j] = order[i]
        scratch.treatment[position], place = _treatment(masking, place)
    return wanted, place


@compiled
def _choose_words(
    scratch: Scratch, count: int, wanted: int, masking: Masking, place: np.uint64
) -> tuple[int, np.uint64]:
    """Words in random order, without those that would exceed the number (Google's rule, whole-word or not)."""
    begins, ends = scratch.begins, scratch.ends
    chosen = 0
    for i in range(count):
        if chosen == wanted:
            break
        j, place = next_below(place, count - i)
        begin, end = begins[i + j], ends[i + j]
        begins[i + j], ends[i + j] = begins[i], ends[i]
        if chosen + end - begin > wanted:
            continue
        for position in range(begin, end):
            scratch.treatment[position], place = _treatment(masking, place)
        chosen += end - begin
    return chosen, place


@compiled
def _choose_spans(
    scratch: Scratch, count: int, wanted: int, masking: Masking, place: np.uint64
) -> tuple[int, np.uint64]:
    """Runs of whole words, treated alike, until the number is reached; the last run may be shortened (SpanBERT)."""
    begins, ends, treatment = scratch.begins, scratch.ends, scratch.treatment
    chosen = 0
    while chosen < wanted:
        word, place = next_below(place, count)
        length, goes_on = 0, True
        while goes_on and length < LONGEST_SPAN:
            length += 1
            where, place = next_uniform(place)
            goes_on = where >= SPAN_STOP
        if goes_on or treatment[begins[word]] != UNTOUCHED:  # longer than the longest
            continue
        what, place = _treatment(masking, place)
        for following in range(word, min(word + length, count)):
            if following > word and begins[following] != ends[following - 1]:
                break  # a [SEP] or a spared token lies between
            for position in range(begins[following], ends[following]):
                if chosen < wanted and treatment[position] == UNTOUCHED:
                    treatment[position] = what
                    chosen += 1
    return chosen, place


@compiled
def _treatment(masking: Masking, place: np.uint64) -> tuple[int, np.uint64]:
    """80 % [MASK], 10 % a random token, 10 % as it is."""
    where, place = next_uniform(place)
    return MASKED + (where >= masking.mask_share) + (where >= masking.mask_share + masking.random_share), place
