"""The word cache never changes an id."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.text.encoding import LONGEST_CACHED_CHUNK, LONGEST_ENCODED_CHUNK, WordEncoder
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

ALPHABET = string.ascii_letters + string.punctuation
VOCAB = [
    *SPECIAL_TOKENS,
    *ALPHABET,
    *(f"##{letter}" for letter in string.ascii_letters),
    "the",
    "##ing",
    "é",
    "中",
    "文",
]
TRICKY = [*"abcThe éÉ中文.,!'ß", "e\u0301", *"\u00a0\u2003\t\r\n\x00\x0b\x1c\x1f\u200b\u0130", "[MASK]", "[SEP]", "  "]
TEXT = st.text() | st.lists(st.sampled_from(TRICKY)).map("".join)


@pytest.mark.parametrize("lowercase", [True, False])
@settings(deadline=None, max_examples=300)
@given(sentences=st.lists(TEXT, min_size=1, max_size=5))
def test_ids_are_the_tokenizers(lowercase: bool, sentences: list[str]) -> None:
    tokenizer = build_tokenizer(VOCAB, lowercase=lowercase)
    encoder = WordEncoder(tokenizer)
    expected = [encoding.ids for encoding in tokenizer.encode_batch_fast(sentences, add_special_tokens=False)]
    for _ in range(2):  # from the tokenizer, then from the cache
        assert [np.frombuffer(encoder.encode(text), encoder.dtype).tolist() for text in sentences] == expected


@pytest.mark.parametrize("lowercase", [True, False])
@settings(deadline=None, max_examples=30)
@given(piece=st.lists(st.sampled_from([*TRICKY, ",", ";", ":", "?", "\u0301"]), min_size=1).map("".join))
def test_ids_of_very_long_chunks(lowercase: bool, piece: str) -> None:
    chunk = piece.replace(" ", "") * (LONGEST_ENCODED_CHUNK // len(piece) + 2)
    tokenizer = build_tokenizer(VOCAB, lowercase=lowercase)
    encoder = WordEncoder(tokenizer)
    expected = tokenizer.encode(chunk, add_special_tokens=False).ids
    assert np.frombuffer(encoder.encode(chunk), encoder.dtype).tolist() == expected


def test_the_cache_stays_small() -> None:
    encoder = WordEncoder(build_tokenizer(VOCAB), cached_chunks=100)
    for number in range(250):
        encoder.encode(f"{number} ")
        assert len(encoder) <= 100
    encoder.encode("x" * 10_000)
    assert max(map(len, encoder)) <= LONGEST_CACHED_CHUNK
