"""Texts to tokens."""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from cloze.data.long_texts import TOKENIZER_CHARACTERS, batched


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """The ids of each text, (T,) int32, without [CLS] and [SEP] around it.

    A special token that stands in a text is that token, as it is to transformers: "[SEP]" in a text is [SEP].
    """
    tokenizer.no_truncation()  # what the folder of a model may have switched on
    tokenizer.no_padding()
    return [
        np.array(encoding.ids, np.int32)
        for part in batched(texts, len, TOKENIZER_CHARACTERS)
        for encoding in tokenizer.encode_batch_fast(part, add_special_tokens=False)
    ]
