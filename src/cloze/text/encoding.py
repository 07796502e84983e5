"""Sentences to token ids, faster than the tokeniser alone.

BERT's normalisation and pre-tokenisation look at one character at a time: they clean, lower-case and strip accents,
then split at white space, at punctuation and around Chinese characters, and WordPiece sees one word at a time. So the
ids of a sentence are those of its space-separated chunks, one after the other, those of a chunk are those of its words,
and what was seen before need not be encoded again. Words follow Zipf's law, and Chinese has some thousand characters:
the cache answers for all but one or two per cent.

The one step that looks further, canonical order of combining marks, goes no further back than the last character that
is not a mark; no split lies between two marks.

Of tokenizers in which a space belongs to the token behind it, BPE over bytes and those with SentencePiece's marks, the
chunks have the space before them (`_Spaced`).
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from cloze.text.bert_rules import bert_rules, own_pattern, own_tokens
from cloze.text.normalization import AlteredLetters, Normalization
from cloze.text.plain_text import NormalText, PlainWords, encoded
from cloze.text.segmenters import Words, continuations
from cloze.text.shards import token_dtype
from cloze.text.special_tokens import NO_FILES, special_tokens
from cloze.text.word_boundaries import cuts_at_spaces, joins_sentences

CACHED_CHUNKS = 1 << 18
"""Chunks and words kept, about 50 MB; when full the cache starts from scratch, which costs a second every few hundred
megabytes."""

LONGEST_CACHED_CHUNK = 64
"""Characters; longer ones (URLs, text without spaces) seldom come again and would let the cache's memory grow."""

MOST_CACHED_WORDS = 6
"""Of a chunk with its punctuation; more are a sentence without spaces, which seldom comes again."""

LONGEST_ENCODED_CHUNK = 10_000
"""Characters; the library takes some 400 bytes of memory for each, so what it alone can encode is split at punctuation
beyond that."""

AFTER_PUNCTUATION = re.compile(r"(?<=[,.;:!?])")  # each a word of its own, and in no special token

PUNCTUATION = (
    r"!-/:-@\[-`{-~\u2010-\u2027\u2030-\u2043\u3001-\u3003\u3008-\u3011\uff01-\uff03\uff05-\uff0a\uff0c-\uff0f"
)
"""Ranges of characters that are words of their own and that normalisation leaves alone; the commonest, not all."""

CHINESE = r"\u3400-\u4dbf\u4e00-\u9fff"
"""Likewise, where the tokeniser puts spaces around Chinese characters."""


class Lost(NamedTuple):
    """How many characters became ``[UNK]``.

    Attributes:
        unknown: in words that the vocabulary has no tokens for.
        overlong: in words that are longer than the tokenizer reads.
    """

    unknown: int
    overlong: int


NOTHING_LOST = Lost(0, 0)


class WordEncoder(dict[str, bytes]):
    """Encodes sentences without special tokens; as a mapping, the cache from chunk or word to the bytes of its ids.

    Attributes:
        dtype: of the ids.
        joins: whether a text is its sentences only with the spaces between them (`joins_sentences`).
        of_chunks: encodes by chunks with the space before them, where that gives the same ids.
        altered: the letters that normalisation alters.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        files: Mapping[str, bytes] = NO_FILES,
        cached_chunks: int = CACHED_CHUNKS,
        words: Words = "tokenizer",
    ) -> None:
        """An encoder with an empty cache.

        Args:
            tokenizer: of `cloze.text.tokenizer.FolderTokenizer`.
            files: likewise.
            cached_chunks: chunks and words kept.
            words: who says where words begin.
        """
        super().__init__()
        special = special_tokens(tokenizer, files)
        self._tokenizer = tokenizer = _with_own_tokens_only(tokenizer, special.contents)
        own = own_tokens(tokenizer, special.contents)
        self._normalized = Normalization(tokenizer)
        altered = {self._normalized(token.content) for token in own if token.normalized}
        self._own = own_pattern({token.content for token in own} | altered) if own else None
        # What looks beyond a space needs whole sentences.
        spaced = any(re.search(r"\s", token.content) for token in own)
        self._whole_sentences = spaced or bert_rules(tokenizer) is None
        self.cached_chunks = cached_chunks
        self.words = None if words == "tokenizer" else words
        self.dtype = token_dtype(tokenizer.get_vocab_size())
        self.joins = joins_sentences(tokenizer)
        self.altered = AlteredLetters(tokenizer)
        self.of_chunks = _Spaced(self) if cuts_at_spaces(tokenizer, own) else None
        self._longer_words = _longer_words(tokenizer)
        self._unknown = None if special.unk is None else special.unk.id
        self._unknown_bytes = b"" if self._unknown is None else self.dtype.type(self._unknown).tobytes()
        self._lost: dict[str, Lost] = {}
        self._plain = PlainWords(tokenizer, self.dtype) if _is_bert(tokenizer) else None
        self._normal = NormalText(tokenizer, self.dtype) if self._normalized.by_python else None

    def encode(self, sentence: str) -> bytes:
        """The token ids of `sentence`, as the bytes of an array of ``self.dtype``."""
        if self.of_chunks is not None:
            return self.of_chunks.encode(sentence)
        if self._whole_sentences:
            return self.sentence(sentence)
        return b"".join(map(self.__getitem__, sentence.split(" ")))

    def continuations(self, sentence: str) -> np.ndarray:
        """(tokens,) bool: which tokens of `sentence` continue a word of the segmenter."""
        assert self.words is not None
        return continuations(self._tokenizer, sentence, self.words)

    def lost(self, sentence: str, ids: bytes) -> Lost:
        """The characters of `sentence`, which gave `ids`, that became ``[UNK]``."""
        at = -1 if self._unknown is None else ids.find(self._unknown_bytes)
        while at > 0 and at % self.dtype.itemsize:  # half of one id and half of the next
            at = ids.find(self._unknown_bytes, at + 1)
        if at < 0:
            return NOTHING_LOST
        found = [self._lost_in(word) for chunk in sentence.split(" ") for word in self._cut(chunk)]
        return Lost(sum(lost.unknown for lost in found), sum(lost.overlong for lost in found))

    def _lost_in(self, word: str) -> Lost:
        if (known := self._lost.get(word)) is not None:
            return known
        encoding = self._tokenizer.encode(word, add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        parts = [word[first:last] for token, (first, last) in pairs if token == self._unknown]
        limit = getattr(self._tokenizer.model, "max_input_chars_per_word", math.inf)
        overlong = sum(len(part) for part in parts if len(self._normalized(part)) > limit)
        lost = Lost(sum(map(len, parts)) - overlong, overlong)
        if len(word) <= LONGEST_CACHED_CHUNK:
            if len(self._lost) >= self.cached_chunks:
                self._lost.clear()
            self._lost[word] = lost
        return lost

    def __missing__(self, chunk: str) -> bytes:
        words = [chunk]
        if self._plain is not None and chunk.isascii() and chunk.isalnum() and not self._has_own(chunk):
            ids = self._plain.encode(chunk)
        elif len(words := self._cut(chunk)) > 1:
            ids = b"".join(map(self.__getitem__, words))
        else:
            ids = self.whole(chunk)
        if len(chunk) <= LONGEST_CACHED_CHUNK and len(words) <= MOST_CACHED_WORDS:
            if len(self) >= self.cached_chunks:
                self.clear()
            self[chunk] = ids
        return ids

    def sentence(self, text: str) -> bytes:
        """The ids of a sentence that is not split at spaces; it is not kept, since it seldom comes again."""
        if len(text) <= LONGEST_ENCODED_CHUNK or (self._normal is not None and self._normal.takes_long(text)):
            return self.whole(text)
        return b"".join(map(self.whole, self._cut(text)))

    def whole(self, text: str) -> bytes:
        """The ids of a text that the tokenizer sees as a whole."""
        if self._normal is not None and not self._has_own(text):
            normal = self._normalized(text)
            if normal is text or not self._has_own(normal):
                return self._normal.encode(normal)
        return encoded(self._tokenizer, text, self.dtype)

    def _cut(self, chunk: str) -> list[str]:
        """The chunk in pieces: words of one character, and what lies between them."""
        if self._has_own(chunk):
            return [chunk]
        if self._longer_words is None:
            return AFTER_PUNCTUATION.split(chunk) if len(chunk) > LONGEST_ENCODED_CHUNK else [chunk]
        single, *rest = self._longer_words.split(chunk)  # single characters, a longer word, single characters, ...
        words = list(single)
        for longer, single in zip(rest[::2], rest[1::2], strict=True):
            words.append(longer)
            words += single
        return words

    def _has_own(self, chunk: str) -> bool:
        """Whether a token of the user's own stands in a chunk, exactly as it is written."""
        return self._own is not None and self._own.search(chunk) is not None


class _IrregularError(Exception):
    """A chunk that is not alone, since there is more than one space next to it."""


class _Spaced(dict[str, bytes]):
    """The cache of chunks with a space before them, by what is behind the space."""

    def __init__(self, encoder: WordEncoder) -> None:
        super().__init__()
        self._encoder = encoder

    def encode(self, sentence: str) -> bytes:
        """The ids of a sentence, chunk by chunk where each space lies between two characters that are none."""
        first, *others = sentence.split(" ")
        if not others:
            return self._encoder.sentence(sentence)
        try:
            if first[-1:].isspace():
                raise _IrregularError
            ids = self._encoder[first] if first else b""
            return ids + b"".join(map(self.__getitem__, others))
        except _IrregularError:
            return self._encoder.whole(sentence)

    def __missing__(self, chunk: str) -> bytes:
        if not chunk or chunk[0].isspace() or chunk[-1].isspace():
            raise _IrregularError
        ids = self._encoder.whole(f" {chunk}")
        if len(chunk) <= LONGEST_CACHED_CHUNK:
            if len(self) >= self._encoder.cached_chunks:
                self.clear()
            self[chunk] = ids
        return ids


def _with_own_tokens_only(tokenizer: Tokenizer, special: Collection[str]) -> Tokenizer:
    """The tokenizer to which a literal "[MASK]" in the text is text; only the tokens of the user's own are tokens."""
    added = tokenizer.get_added_tokens_decoder().values()
    if all(token.special == (token.content in special) for token in added):
        tokenizer.encode_special_tokens = True
        return tokenizer
    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["content"] in special
    copy = Tokenizer.from_str(json.dumps(state))
    copy.encode_special_tokens = True
    return copy


def _is_bert(tokenizer: Tokenizer) -> bool:
    """Whether the tokeniser is BERT's, and looks for no token of the user's own in a text that is normalised."""
    return bert_rules(tokenizer) is not None and not any(token.normalized for token in own_tokens(tokenizer))


def _longer_words(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """What is left between characters that are words of their own, if it is longer than one."""
    if not _is_bert(tokenizer):
        return None
    alone = PUNCTUATION + (CHINESE if tokenizer.normalizer.handle_chinese_chars else "")
    return re.compile(f"([^{alone}]{{2,}})")
