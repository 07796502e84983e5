"""Texts to pieces."""

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

CHARACTERS_AT_ONCE = 250_000
"""Of text in one call: enough for all cores, and the tokenizer needs some 400 bytes of memory for each."""


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """The ids of each text, (T,) int32, without [CLS] and [SEP] around it.

    A special token that stands in a text is that token, as it is to transformers: "[SEP]" in a text is [SEP].
    """
    tokenizer.no_truncation()  # what the folder of a model may have switched on
    tokenizer.no_padding()
    return [
        np.array(encoding.ids, np.int32)
        for part in _parts(texts)
        for encoding in tokenizer.encode_batch_fast(part, add_special_tokens=False)
    ]


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    characters = 0
    for text in texts:
        part.append(text)
        characters += len(text)
        if characters >= CHARACTERS_AT_ONCE:
            yield part
            part, characters = [], 0
    if part:
        yield part


def kept(length: int, length_pair: int, room: int) -> tuple[int, int]:
    """How many pieces stay of each text of a pair: the longer one is cut first, until both fit into `room` together.

    This is Google's rule (``_truncate_seq_pair``) as the tokenizers library has it: where both texts are cut and `room`
    is odd, the piece more goes to the text that was the longer one, the second when they were equal.
    """
    if length + length_pair <= room:
        return length, length_pair
    half = room // 2
    if min(length, length_pair) > half:
        return (room - half, half) if length > length_pair else (half, room - half)
    return (room - length_pair, length_pair) if length > length_pair else (length, room - length)
