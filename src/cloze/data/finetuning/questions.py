"""Features for question answering: a question with a window of its passage."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.items import Item, TokenSequence, encode
from cloze.data.finetuning.squad import UNKNOWN
from cloze.data.long_texts import windows
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.errors import InputError
from cloze.text.special_tokens import sequence_ends
from cloze.text.word_boundaries import without_spaces

SPECIAL_TOKENS = 3  # [CLS] question [SEP] passage [SEP]
PASSAGES_AT_ONCE = 256  # their offsets are Python objects for a moment
NO_ANSWER = (0, 0)  # [CLS] as first and as last token
UNLABELLED = (IGNORED_LABEL, IGNORED_LABEL)


class Passage(NamedTuple):
    """The tokens of a passage.

    Attributes:
        ids: (tokens,) int32.
        offsets: (tokens, 2) int32, the first character of each, and the end of its last, without white space around
            them; a token that is white space ends before it begins.
    """

    ids: np.ndarray
    offsets: np.ndarray

    def span(self, answer: Answer) -> tuple[int, int] | None:
        """The first and the last token that share a character with an answer, if any does."""
        first = int(np.searchsorted(self.offsets[:, 1], answer.start, side="right"))
        last = int(np.searchsorted(self.offsets[:, 0], answer.start + len(answer.text))) - 1
        return (first, last) if first <= last else None


class Window(NamedTuple):
    """The part of its passage that an item shows.

    Attributes:
        offsets: (tokens, 2) int32, the characters of its tokens, as in `Passage`.
        row: the position of the first of them in the sequence.
        own: the first of those that belong to this window, and their end (`long_texts.windows`). An answer is taken
            from the window to which its first token belongs, so that none comes twice.
    """

    offsets: np.ndarray
    row: int
    own: tuple[int, int]


@dataclass(kw_only=True)
class QuestionFeatures:
    """[CLS] question [SEP] passage [SEP], a long passage in overlapping windows (Devlin et al. 2019, section 4.2).

    The lengths are those of google-research/bert, run_squad.py.

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        stride: tokens from the beginning of a window to that of the next (elsewhere the word means those they share).
        max_question_length: tokens of the longest question; the rest of a longer one is truncated.
        counts: questions that were truncated, answers that cannot be taught.
    """

    max_length: int = 384
    stride: int = 128
    max_question_length: int = 64
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        for name in ("stride", "max_question_length"):
            if getattr(self, name) < 1:
                raise InputError(f"task.features.{name}={getattr(self, name)}: must be at least 1")
        if self.max_length <= self.max_question_length + SPECIAL_TOKENS:
            raise InputError(
                f"task.max_length={self.max_length}: has no room for passages next to questions of"
                f" {self.max_question_length} tokens; make it larger, or task.features.max_question_length smaller"
            )

    def labels(self, examples: Sequence[QuestionExample]) -> list[str]:
        """None: answers are positions."""
        return []

    def items(self, examples: Sequence[QuestionExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """The windows of all questions, in their order; each question has at least one."""
        passages = encode_passages(list(dict.fromkeys(example.context for example in examples)), tokenizer)
        questions = encode(tokenizer, [example.question for example in examples])
        cls, sep = (np.array([token.id], np.int32) for token in sequence_ends(tokenizer))
        longest = self.max_question_length
        items: list[Item] = []
        for number, (example, question) in enumerate(zip(examples, questions, strict=True)):
            self.counts[f"questions truncated to {longest} tokens"] += len(question) > longest
            beginning = np.concatenate([cls, question[:longest], sep])
            items += self._items(number, example, passages[example.context], beginning, sep)
        self.counts += Counter()  # without those that are zero
        return items

    def _items(
        self, number: int, example: QuestionExample, passage: Passage, beginning: np.ndarray, sep: np.ndarray
    ) -> Iterator[Item]:
        """The windows of one question, whose sequences have the same beginning."""
        row = len(beginning)
        answer = _taught(example)
        span = None if answer is None else passage.span(answer)
        # Nothing can be taught where no answer is known, or none that the tokens show.
        outside = UNLABELLED if example.answers is None or (example.answers and span is None) else NO_ANSWER
        is_shown = span is None
        for first, end, own in windows(len(passage.ids), self.max_length - row - 1, self.stride):
            input_ids = np.concatenate([beginning, passage.ids[first:end], sep])
            token_type_ids = np.ones(len(input_ids), np.int8)
            token_type_ids[:row] = 0
            label = outside
            if span is not None and first <= span[0] and span[1] < end:
                label = (span[0] - first + row, span[1] - first + row)
                is_shown = True
            window = Window(passage.offsets[first:end], row, (own[0] - first, own[1] - first))
            yield Item(number, (TokenSequence(input_ids, token_type_ids),), np.array([label]), window)
        self.counts["answers longer than every window, taught as none"] += not is_shown
        self.counts["answers that the tokenizer leaves nothing of, not taught"] += answer is not None and span is None


def _taught(example: QuestionExample) -> Answer | None:
    """The first answer that the passage has; training sets give but one."""
    return next((answer for answer in example.answers or () if answer.start != UNKNOWN), None)


def encode_passages(passages: Sequence[str], tokenizer: Tokenizer) -> dict[str, Passage]:
    """The tokens of each text, without special ones, and the characters that they stand for."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = {}
    for start in range(0, len(passages), PASSAGES_AT_ONCE):
        part = list(passages[start : start + PASSAGES_AT_ONCE])
        for text, encoding in zip(part, tokenizer.encode_batch(part, add_special_tokens=False), strict=True):
            offsets = without_spaces(text, np.array(encoding.offsets, np.int32).reshape(-1, 2))
            if not text.isascii():
                offsets[:, 1] = _behind_marks(text)[offsets[:, 1]]
            found[text] = Passage(np.array(encoding.ids, np.int32), offsets)
    return found


def _behind_marks(text: str) -> np.ndarray:
    """(characters + 1,), for each position in a text the next one, itself included, where no combining mark stands.

    Uncased tokenizers drop marks that are characters of their own, but a span of the text must not end before them.
    """
    is_mark = [unicodedata.category(character) == "Mn" for character in text]
    places = np.where([*is_mark, False], len(text), np.arange(len(text) + 1))
    return np.minimum.accumulate(places[::-1])[::-1]
