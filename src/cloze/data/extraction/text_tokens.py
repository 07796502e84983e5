"""Encode rows: the text of a row, its tokens with their offsets, and its sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding, Tokenizer

from cloze.data.extraction.options import Sizes
from cloze.data.long_texts import TOKENIZER_CHARACTERS, batched, shown
from cloze.data.tables.columns import TextColumns, cell_of
from cloze.errors import BadRowError
from cloze.text.special_tokens import sequence_ends, stand_in
from cloze.text.word_boundaries import joins_sentences, spaced, without_spaces, words_in

LONGEST_TEXT = 1_000_000
"""Characters of one text: the tokenizer takes some 400 bytes of memory for each."""

OUTSIDE = -1
"""The word of a special token."""


class RowText(NamedTuple):
    """What a row says: its text, or the words of it; and a second text, where pairs are read."""

    text: str | tuple[str, ...]
    pair: str | None
    id: str | None
    label: str | None

    @property
    def characters(self) -> int:
        return characters_of(self.text) + len(self.pair or "")


class TextTokens(NamedTuple):
    """The sequence of a text, before it is split into windows: [CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    Attributes:
        ids: (T,) int32.
        segments: (T,) int8, 1 for B with its [SEP].
        offsets: (T, 2) int32, the first character and the end of each token, without the space before it, in its text
            or in its word where the text came in words; (0, 0) for special tokens.
        words: (T,) int32, the number of each token's word, those of B after those of A; ``OUTSIDE`` for special tokens,
            ``BLANK`` for white space where the text did not come in words.
        first: tokens of A.
        second: tokens of B, None without.
        notes: what had to be done to the text, as ``texts truncated to 128 tokens``.
    """

    ids: np.ndarray
    segments: np.ndarray
    offsets: np.ndarray
    words: np.ndarray
    first: int
    second: int | None
    notes: tuple[str, ...] = ()


class _Pieces(NamedTuple):
    """Of one text, without special tokens: (T,) ids, (T, 2) offsets, (T,) words from 0."""

    ids: np.ndarray
    offsets: np.ndarray
    words: np.ndarray
    notes: tuple[str, ...] = ()

    def cut(self, length: int) -> "_Pieces":
        return _Pieces(self.ids[:length], self.offsets[:length], self.words[:length], self.notes)


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Takes the text out of a row.

    Attributes:
        columns: where it stands.
        label: the column of the labels, where they are wanted.
    """

    columns: TextColumns
    label: str | None = None

    def read(self, cells: Mapping[str, Any]) -> RowText:
        """The text of a row.

        Raises:
            BadRowError: a column is not there, or holds something else.
        """
        columns = self.columns
        if columns.words is not None:
            text: str | tuple[str, ...] = _words(columns.words, cell_of(cells, columns.words, "words"))
        else:
            text = _text(columns.text or "text", cell_of(cells, columns.text or "text", "text"))
        pair = None
        if columns.text_pair is not None:
            pair = _text(columns.text_pair, cell_of(cells, columns.text_pair, "text_pair"))
        name = None if columns.id is None else str(cell_of(cells, columns.id, "id"))
        label = cells.get(self.label) if self.label is not None else None
        if self.label is not None and self.label not in cells:
            raise BadRowError("rows without a label", f"has no column {self.label!r}; set probe to one that it has")
        row = RowText(text, pair, name, None if label is None or label == "" else str(label))
        if row.characters > LONGEST_TEXT:
            reason = f"has a text of {row.characters:,} characters; split it into texts of at most {LONGEST_TEXT:,}"
            raise BadRowError("texts that are too long", reason)
        return row


def _text(name: str, cell: Any) -> str:
    if not isinstance(cell, str):
        raise BadRowError(f"rows whose {name} is no text", f"has {cell!r:.80} in {name!r}, but expected a text")
    return cell


def _words(name: str, cell: Any) -> tuple[str, ...]:
    words = cell.split() if isinstance(cell, str) else cell
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        reason = f"has {cell!r:.80} in {name!r}, but expected a list of words, or words with blanks between them"
        raise BadRowError(f"rows whose {name} are no words", reason)
    return tuple(words)


@dataclass(kw_only=True)
class TextEncoder:
    """Texts to their tokens.

    Attributes:
        tokenizer: of the model.
        sizes: how long a sequence is.
        wants_places: whether offsets and words are needed; without them encoding is faster, and they are zeros.
    """

    tokenizer: Tokenizer
    sizes: Sizes
    wants_places: bool = True

    def __post_init__(self) -> None:
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._cls, self._sep = (token.id for token in sequence_ends(self.tokenizer))
        self._stand_in = stand_in(self.tokenizer)
        self._joins = joins_sentences(self.tokenizer)

    def encode(self, rows: Sequence[RowText]) -> list[TextTokens]:
        """The tokens of each row, in their order."""
        firsts = self._pieces([row.text for row in rows])
        pairs = [row.pair for row in rows if row.pair is not None]
        seconds = iter(self._pieces(pairs))
        return [
            self._sequence(first, None if row.pair is None else next(seconds))
            for row, first in zip(rows, firsts, strict=True)
        ]

    def _sequence(self, a: _Pieces, b: _Pieces | None) -> TextTokens:
        a, b = self._cut(a, b)
        parts = [_special(self._cls), a, _special(self._sep)]
        if b is not None:
            words = np.where(b.words < 0, b.words, b.words + (a.words.max(initial=-1) + 1))
            parts += [b._replace(words=words), _special(self._sep)]
        ids, offsets, numbers = (np.concatenate(columns) for columns in list(zip(*parts, strict=True))[:3])
        segments = np.zeros(len(ids), np.int8)
        if b is not None:
            segments[len(a.ids) + 2 :] = 1
        return TextTokens(ids, segments, offsets, numbers, len(a.ids), None if b is None else len(b.ids), a.notes)

    def _cut(self, a: _Pieces, b: _Pieces | None) -> tuple[_Pieces, _Pieces | None]:
        """What is too long for a sequence, or, of a pair in windows, too long to stand whole in each."""
        longest, in_windows = self.sizes.max_length, self.sizes.long_texts == "windows"
        first, second = shown(len(a.ids), None if b is None else len(b.ids), longest, in_windows=in_windows)
        if first == len(a.ids) and (b is None or second == len(b.ids)):
            return a, b
        note = f"{'texts' if b is None else 'pairs'} truncated to {longest} tokens"
        if in_windows:
            note = f"pairs whose shorter text is truncated to {(longest - 3) // 2} tokens, to stand in every window"
        return a.cut(first)._replace(notes=(*a.notes, note)), None if b is None else b.cut(second)

    def _pieces(self, texts: Sequence[str | tuple[str, ...]]) -> list[_Pieces]:
        found: list[_Pieces] = []
        for part in batched(texts, characters_of, TOKENIZER_CHARACTERS):
            if isinstance(part[0], str):
                call = self.tokenizer.encode_batch if self.wants_places else self.tokenizer.encode_batch_fast
                whole = [str(text) for text in part]
                found += map(self._of_text, call(whole, add_special_tokens=False), whole)
            else:
                spelt = [spaced(words) if self._joins else list(words) for words in part]
                encodings = self.tokenizer.encode_batch(spelt, add_special_tokens=False, is_pretokenized=True)
                found += map(self._of_words, encodings, spelt)
        return found

    def _of_text(self, encoding: Encoding, text: str) -> _Pieces:
        ids = np.array(encoding.ids, np.int32)
        if not self.wants_places:
            return _Pieces(ids, np.zeros((len(ids), 2), np.int32), np.zeros(len(ids), np.int32))
        return _Pieces(ids, *words_in(encoding, text))

    def _of_words(self, encoding: Encoding, spelt: list[str]) -> _Pieces:
        """A word of which the tokenizer leaves nothing has a token that stands in, so that every word has its state."""
        ids, words = np.array(encoding.ids, np.int32), np.array(encoding.word_ids, np.int32)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        ends = np.cumsum([0, *map(len, spelt)])[words, None]
        trimmed = without_spaces("".join(spelt), offsets + ends) - ends
        offsets = np.where(trimmed[:, :1] >= trimmed[:, 1:], offsets, trimmed)
        if self._joins:
            offsets = np.maximum(offsets - (words > 0)[:, None], 0)
        absent = np.setdiff1d(np.arange(len(spelt)), words)
        if len(absent):
            places = np.searchsorted(words, absent)
            ids, words = np.insert(ids, places, self._stand_in), np.insert(words, places, absent)
            offsets = np.insert(offsets, places, 0, axis=0)
            shown_as = self.tokenizer.id_to_token(self._stand_in)
            return _Pieces(ids, offsets, words, (f"texts with words without a visible character, shown as {shown_as}",))
        return _Pieces(ids, offsets, words)


def _special(token: int) -> _Pieces:
    return _Pieces(np.array([token], np.int32), np.zeros((1, 2), np.int32), np.array([OUTSIDE], np.int32))


def characters_of(text: str | tuple[str, ...]) -> int:
    """Of a text, or of all its words."""
    return len(text) if isinstance(text, str) else sum(map(len, text))
