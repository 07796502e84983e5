"""Ids of plain text, in which no added token stands, with less of the tokenizers library than it takes itself.

The library keeps for each character where it comes from, through each of its steps; where Python does a step, or knows
that it does nothing, that costs a tenth.
"""

import re
import unicodedata
from array import array
from codecs import charmap_decode
from functools import cache
from typing import Self

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers

from cloze.text.bert_rules import steps
from cloze.text.characters import Pieces
from cloze.text.normalization import is_old, ranges
from cloze.text.word_boundaries import LLAMA_3, each, mark_of_words

SEPARATOR = "\0"
"""Between words; a text that has it goes to the library."""

WORDS_AT_ONCE = 2_000
"""For the library, whose memory for a long text would be 400 bytes a character."""

CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
PATTERN_OF_GPT_2 = rf"{CONTRACTIONS}| ?[{{L}}]+| ?[{{N}}]+| ?[^\s{{L}}{{N}}]+|\s+(?!\S)|\s+"
PATTERN_OF_LLAMA_3 = (
    rf"(?i:{CONTRACTIONS})|[^\r\n{{L}}{{N}}]?[{{L}}]+|[{{N}}]{{{{1,3}}}}| ?[^\s{{L}}{{N}}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Where byte-level models split text, with places for the classes of letters and of numbers."""

VISIBLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
HIDDEN = sorted({*range(0x100)} - VISIBLE)
BYTES = "".join(chr(byte if byte in VISIBLE else 0x100 + HIDDEN.index(byte)) for byte in range(0x100))
"""The character that stands for each byte (Radford et al. 2019)."""


def encoded(tokenizer: Tokenizer, text: str, dtype: np.dtype) -> bytes:
    """The ids of a text as the bytes of an array of this type; the library computes no offsets for them."""
    (encoding,) = tokenizer.encode_batch_fast([text], add_special_tokens=False)
    return array(dtype.char, encoding.ids).tobytes()


class NormalText:
    """Encodes texts that are normalised and have no added tokens in them."""

    def __init__(self, tokenizer: Tokenizer, dtype: np.dtype) -> None:
        self._dtype, self._mark = dtype, mark_of_words(tokenizer)
        self._model, self._cutting = Tokenizer(tokenizer.model), Tokenizer(tokenizer.model)
        if tokenizer.pre_tokenizer is not None:
            self._cutting.pre_tokenizer = tokenizer.pre_tokenizer
        self._words, self._separated = ByteWords.of(tokenizer), Tokenizer(tokenizer.model)
        self._separated.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(SEPARATOR)
        self._pieces = Pieces.of(tokenizer, dtype)

    def takes_long(self, text: str) -> bool:
        """Whether it encodes a text without much memory, however long it is."""
        return self._pieces is not None or (self._words is not None and self._words.knows(text))

    def encode(self, text: str) -> bytes:
        """The ids, as the bytes of an array."""
        if self._pieces is not None:
            return self._pieces.encode(text)
        if self._mark is not None:
            word = text.removeprefix(" ")
            if word.split() == [word] and self._mark not in word:
                return encoded(self._model, self._mark + word, self._dtype)
        if self._words is not None and self._words.knows(text):
            words = self._words.of_text(text)
            if len(text) <= WORDS_AT_ONCE:
                return encoded(self._separated, words, self._dtype)
            each_word = words.split(SEPARATOR)
            groups = (each_word[at : at + WORDS_AT_ONCE] for at in range(0, len(each_word), WORDS_AT_ONCE))
            return b"".join(encoded(self._separated, SEPARATOR.join(group), self._dtype) for group in groups)
        return encoded(self._cutting, text, self._dtype)


class ByteWords:
    """The words that byte-level models see in a text, as the library splits and writes them.

    Attributes:
        pattern: of words.
        space: what is set before a text that does not begin with a space.
    """

    def __init__(self, pattern: str, space: str) -> None:
        letters, numbers, self._known = _classes()
        self.pattern, self.space = re.compile(pattern.format(L=letters, N=numbers)), space
        self._bytes = SEPARATOR + BYTES[1:]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """Those of a tokenizer by the rules of GPT-2 or Llama 3; None where it has others."""
        cut = each(steps(tokenizer)["pre_tokenizer"], "pretokenizers")
        if not cut or cut[-1]["type"] != "ByteLevel":
            return None
        *splits, last = cut
        if last["use_regex"]:
            return None if splits else cls(PATTERN_OF_GPT_2, " " if last["add_prefix_space"] else "")
        rule = {"type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated", "invert": False}
        return cls(PATTERN_OF_LLAMA_3, "") if splits == [rule] and not last["add_prefix_space"] else None

    def knows(self, text: str) -> bool:
        """Whether the classes of all characters of a text are certain."""
        return self._known.fullmatch(text) is not None

    def of_text(self, text: str) -> str:
        """The words of a text whose characters it knows, with separators between them."""
        if not text.startswith(" "):
            text = self.space + text
        return charmap_decode(SEPARATOR.join(self.pattern.findall(text)).encode(), "strict", self._bytes)[0]


@cache
def _classes() -> tuple[str, str, re.Pattern[str]]:
    """Letters, numbers, and the texts of characters whose class has stayed what it was in Unicode 3.2."""

    def is_known(character: str) -> bool:
        is_stable = unicodedata.ucd_3_2_0.category(character) == unicodedata.category(character)
        # Python takes the four separators of ASCII for blanks; a long s is an s to patterns without case.
        return is_old(character) and is_stable and character not in f"{SEPARATOR}\x1c\x1d\x1e\x1f\u017f"

    letters = ranges(lambda character: unicodedata.category(character)[0] == "L")
    numbers = ranges(lambda character: unicodedata.category(character)[0] == "N")
    return letters, numbers, re.compile(f"[{ranges(is_known)}]+")


class PlainWords:
    """WordPiece for words of ASCII letters and digits, which normalisation only lower-cases: a fifth of the cost."""

    def __init__(self, tokenizer: Tokenizer, dtype: np.dtype) -> None:
        model, vocab = tokenizer.model, tokenizer.get_vocab(with_added_tokens=False)
        prefix = model.continuing_subword_prefix
        self._lowercase = tokenizer.normalizer.lowercase
        self._longest_word, self._longest_piece = model.max_input_chars_per_word, max(map(len, vocab))
        ids = {piece: np.array(index, dtype).tobytes() for piece, index in vocab.items() if piece.isascii()}
        self._unknown = np.array(vocab[model.unk_token], dtype).tobytes()
        self._first = ids
        self._following = {piece.removeprefix(prefix): ids[piece] for piece in ids if piece.startswith(prefix)}

    def encode(self, word: str) -> bytes:
        """The longest token there is, then the longest that continues it, to the end; or that of unknown words."""
        if len(word) > self._longest_word:
            return self._unknown
        if self._lowercase:
            word = word.lower()
        ids, pieces = b"", self._first
        while word:
            for end in range(min(len(word), self._longest_piece), 0, -1):
                if (piece := pieces.get(word[:end])) is not None:
                    break
            else:
                return self._unknown
            ids, word, pieces = ids + piece, word[end:], self._following
        return ids
