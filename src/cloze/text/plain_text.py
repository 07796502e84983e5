"""Ids of plain text, in which no added token stands, with less of the tokenizers library than it takes itself.

The library keeps for each character where it comes from, through each of its steps; where Python does a step, or knows
that it does nothing, that costs a tenth.
"""

from array import array

import numpy as np
from tokenizers import Tokenizer

from cloze.text.characters import Pieces
from cloze.text.word_boundaries import mark_of_words


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
        self._pieces = Pieces.of(tokenizer, dtype)
        self.needs_no_library = self._pieces is not None

    def encode(self, text: str) -> bytes:
        """The ids, as the bytes of an array."""
        if self._pieces is not None:
            return self._pieces.encode(text)
        if self._mark is not None:
            word = text.removeprefix(" ")
            if word.split() == [word] and self._mark not in word:
                return encoded(self._model, self._mark + word, self._dtype)
        return encoded(self._cutting, text, self._dtype)


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
