"""Features for token classification: windows of tokens, with the label of each word at its first token."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.classification import sorted_labels
from cloze.data.finetuning.items import Item, TokenSequence, encode
from cloze.data.tables.examples import TaggedExample
from cloze.errors import InputError
from cloze.metrics.entities import OUTSIDE, make_entities
from cloze.text.special_tokens import sequence_ends, stand_in
from cloze.text.word_boundaries import joins_sentences, spaced

MARGIN = 8
"""A sentence that does not fit is split so that an eighth of a window is left on either side, for context."""


class Pieces(NamedTuple):
    """The words of a split, one after the other.

    Attributes:
        ids: (tokens,) int32.
        starts: (words + 1,) int64, the first token of each word, and the end.
    """

    ids: np.ndarray
    starts: np.ndarray


class TaggingFeatures:
    """A label for each word, at its first token (Devlin et al. 2019, section 5.3).

    A word of which the tokenizer leaves nothing, such as a lone variation selector, is shown as [UNK], so that every
    word has its prediction. A sentence longer than `max_length` is split between words into several windows; each word
    is predicted in one of them, and the words of the other windows stand next to it as far as there is room.
    """

    def __init__(self, *, max_length: int, document_context: bool | int = False) -> None:
        """Describe the windows.

        Args:
            max_length: tokens of the longest window, with [CLS] and [SEP].
            document_context: fill the window with the words of the document on both sides of the sentence, "the maximal
                document context provided by the data" (Devlin et al. 2019, section 5.3). A number is the most word
                tokens on either side.

        Raises:
            InputError: `max_length` leaves no room for a word, or a negative context.
        """
        if max_length < 3:
            raise InputError(f"task.max_length={max_length}: must be at least 3, for [CLS], a word and [SEP]")
        if document_context < 0:
            raise InputError(f"task.features.document_context={document_context}: must be true, false or a number")
        self.max_length = max_length
        self.counts: Counter[str] = Counter()
        self._capacity = max_length - 2  # without [CLS] and [SEP]
        self._beyond_sentence = bool(document_context)
        self._context = document_context if document_context and document_context is not True else max_length

    def labels(self, examples: Sequence[TaggedExample]) -> list[str]:
        """O, then B- and I- of each type that is there, by name; a type's other tag may come in other splits.

        Tags that make no entities are labels by themselves.

        Raises:
            InputError: no word is part of an entity, or all words have the same tag.
        """
        tags = {tag for example in examples for tag in set(example.tags or ())}
        if tags == {OUTSIDE}:
            raise InputError("task.data.train: has no entity, every word is tagged O; check task.data.label")
        if len(tags) < 2 and not make_entities(tags):
            raise InputError(
                f"task.data.train: every word has the tag {min(tags, default=None)!r}; set task.data.label to where the"
                " tags are"
            )
        if not make_entities(tags):
            return sorted_labels(tags)
        types = {tag[2:] for tag in tags} - {""}
        return [OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI")]

    def items(self, examples: Sequence[TaggedExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """The windows of all sentences, in their order.

        ``origin`` of an item is (words,) int64, the token of the first token of each word it predicts, [CLS] being 0.
        Those of all items, one after the other, are those of all words.

        Raises:
            InputError: a tag is not among `labels`.
        """
        pieces = self._pieces(examples, tokenizer)
        numbers = _label_numbers(examples, labels)
        cls, sep = (np.array([token.id], np.int32) for token in sequence_ends(tokenizer))
        items = []
        for example, (sentence, document) in enumerate(_places(examples)):
            for first, end in self._cut(pieces.starts, *sentence):
                begin, stop = self._extended(pieces.starts, first, end, document if self._beyond_sentence else sentence)
                ids = np.concatenate([cls, pieces.ids[pieces.starts[begin] : pieces.starts[stop]], sep])
                rows = pieces.starts[first:end] - pieces.starts[begin] + 1
                row_labels = np.full(len(ids), IGNORED_LABEL)
                row_labels[rows] = numbers[first:end]
                sequence = TokenSequence(ids, np.zeros(len(ids), np.int8))
                items.append(Item(example, (sequence,), row_labels, rows))
        return items

    def _pieces(self, examples: Sequence[TaggedExample], tokenizer: Tokenizer) -> Pieces:
        """Each different word is encoded once, with the space before it where that belongs to its tokens.

        No tokenisation looks across the space between two words.
        """
        numbers: dict[str, int] = {}
        read = spaced_words if joins_sentences(tokenizer) else plain_words
        words = np.array([numbers.setdefault(word, len(numbers)) for example in examples for word in read(example)])
        encoded = encode(tokenizer, list(numbers))
        unknown = np.array([stand_in(tokenizer)], np.int32)
        shown_as = tokenizer.id_to_token(int(unknown[0]))
        self._count(f"words without a visible character, shown as {shown_as}", [not len(ids) for ids in encoded], words)
        too_long = [len(ids) > self._capacity for ids in encoded]
        self._count(f"words truncated to {self._capacity} tokens", too_long, words)
        encoded = [ids[: self._capacity] if len(ids) else unknown for ids in encoded]
        # From the tokens of the different words to those of all words: where each is to be taken from.
        lengths = np.array([len(ids) for ids in encoded])
        firsts = np.cumsum(lengths) - lengths
        starts = np.concatenate([[0], np.cumsum(lengths[words])])
        places = np.arange(starts[-1]) + np.repeat(firsts[words] - starts[:-1], lengths[words])
        return Pieces(np.concatenate(encoded)[places], starts)

    def _count(self, what: str, is_so: Sequence[bool], words: np.ndarray) -> None:
        if any(is_so):
            self.counts[what] += int(np.array(is_so)[words].sum())

    def _cut(self, starts: np.ndarray, first: int, end: int) -> list[tuple[int, int]]:
        """The words of a sentence, all together where they fit into one window."""
        if starts[end] - starts[first] <= self._capacity:
            return [(first, end)]
        self.counts[f"sentences of more than {self._capacity} tokens, in several windows"] += 1
        most = self._capacity - 2 * (self._capacity // MARGIN)
        windows = []
        while first < end:
            fitting = int(np.searchsorted(starts, starts[first] + most, side="right")) - 1
            stop = min(max(fitting, first + 1), end)
            windows.append((first, stop))
            first = stop
        return windows

    def _extended(self, starts: np.ndarray, first: int, end: int, within: tuple[int, int]) -> tuple[int, int]:
        """The words with their neighbours, as much on one side as on the other where there is so much."""
        room = self._capacity - (starts[end] - starts[first])
        left = min(starts[first] - starts[within[0]], self._context)
        right = min(starts[within[1]] - starts[end], self._context)
        left = min(left, max(room // 2, room - right))
        begin = int(np.searchsorted(starts, starts[first] - left))
        right = min(right, room - (starts[first] - starts[begin]))
        return begin, int(np.searchsorted(starts, starts[end] + right, side="right")) - 1


def plain_words(example: TaggedExample) -> Sequence[str]:
    """The words alone."""
    return example.words


def spaced_words(example: TaggedExample) -> Sequence[str]:
    """The words with a space before each but the first, and but those that touch the word before them in a raw text."""
    ends = [0, *(end for _, end in example.offsets)] if example.text is not None else []
    places = zip(example.offsets, ends, strict=False)
    return spaced(example.words, {number for number, ((start, _), end) in enumerate(places) if start == end})


def _label_numbers(examples: Sequence[TaggedExample], labels: Sequence[str]) -> np.ndarray:
    """(words,) int64, the labels of all words of a split."""
    numbers = {label: number for number, label in enumerate(labels)}
    found: list[int] = []
    for example in examples:
        if example.tags is None:
            found += [IGNORED_LABEL] * len(example.words)
        elif unknown := sorted(set(example.tags) - numbers.keys()):
            known = ", ".join(labels)
            raise InputError(
                f"{example.where}: has the tag {unknown[0]!r}, but the model knows only {known}; fix it, or add"
                " sentences with it to task.data.train"
            )
        else:
            found += [numbers[tag] for tag in example.tags]
    return np.array(found)


def _places(examples: Sequence[TaggedExample]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Of each sentence: its first word and its end, and those of its document, counted over the split."""
    start = 0
    for _, sentences in groupby(examples, key=lambda example: example.document):
        ends = start + np.cumsum([len(example.words) for example in sentences])
        document = (start, int(ends[-1]))
        for end in ends.tolist():
            yield (start, end), document
            start = end
