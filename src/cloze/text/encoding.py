"""Sentences to token ids, faster than the tokeniser alone.

BERT's normalisation and pre-tokenisation never look across a space (U+0020): they clean, lower-case and strip accents
character by character, then cut at white space and punctuation, and WordPiece sees one word at a time. So the ids of a
sentence are the ids of its space-separated chunks, one after the other, and a chunk that was seen before need not go
through the tokeniser again. Words follow Zipf's law: the cache answers for all but one or two per cent of them.
"""

import re

import numpy as np
from tokenizers import Tokenizer

from cloze.text.shards import token_dtype

CACHED_CHUNKS = 1 << 18
"""Chunks kept, about 50 MB; when full the cache begins anew, which costs a second every few hundred megabytes."""

LONGEST_CACHED_CHUNK = 64
"""Characters; longer ones (URLs, text without spaces) seldom come again and would let the cache's memory grow."""

LONGEST_ENCODED_CHUNK = 10_000
"""Characters; the tokeniser takes some 400 bytes of memory for each, so longer ones are cut at punctuation too."""

AFTER_PUNCTUATION = re.compile(r"(?<=[,.;:!?])")  # each a word of its own, and in no special token


class WordEncoder(dict[str, bytes]):
    """Encodes sentences without special tokens; as a mapping, the cache from chunk to the bytes of its ids."""

    def __init__(self, tokenizer: Tokenizer, cached_chunks: int = CACHED_CHUNKS) -> None:
        super().__init__()
        tokenizer.encode_special_tokens = True  # a literal "[MASK]" in the text is text
        self._tokenizer = tokenizer
        self._cached_chunks = cached_chunks
        self.dtype = token_dtype(tokenizer.get_vocab_size())

    def encode(self, sentence: str) -> bytes:
        """The token ids of `sentence`, as the bytes of an array of ``self.dtype``."""
        return b"".join(map(self.__getitem__, sentence.split(" ")))

    def __missing__(self, chunk: str) -> bytes:
        if len(chunk) > LONGEST_ENCODED_CHUNK and len(pieces := AFTER_PUNCTUATION.split(chunk)) > 1:
            return b"".join(map(self.__getitem__, pieces))
        ids = np.array(self._tokenizer.encode(chunk, add_special_tokens=False).ids, self.dtype).tobytes()
        if len(chunk) <= LONGEST_CACHED_CHUNK:
            if len(self) >= self._cached_chunks:
                self.clear()
            self[chunk] = ids
        return ids
