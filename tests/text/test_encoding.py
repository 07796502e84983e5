"""The word cache never changes an id."""

import re
import string
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cloze.text.encoding import CHINESE, LONGEST_CACHED_CHUNK, LONGEST_ENCODED_CHUNK, PUNCTUATION, WordEncoder
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, read_vocabulary

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

MARKS = "\u0300\u0301\u0327\u05b0\u0f71\u302a\u302e\u3099\u20dd\ufe0f\U0001d165"  # of several classes, spacing ones too
STRANGE = "\u1e9b\u212b\ufb01\uac01\u1112\u1161\u11ab\u2329\u0f43\ufa11\uf9fe\U0002f801\U00020000\U0002b820\U0002ceb0"
SPACES = "\u3000\u00ad\u2028\ufeff\ufffd\ue000\ud7ff\U0001f468\u200d"
MIXED = st.lists(
    st.sampled_from(
        [
            *"aZ09Éß中文汉字。\uff0c\uff01\uff1f、“”…—-·$^`'.,()#",
            "##",
            "[UNK]",
            *MARKS,
            *STRANGE,
            *SPACES,
            " ",
            "x" * 101,
        ]
    )
    | st.characters(min_codepoint=0x3000, max_codepoint=0x9FFF)
    | st.characters(categories=["Mn", "Mc", "Me", "P"])
    | st.characters(exclude_categories=["Cs"])  # no text in UTF-8 has half of a surrogate pair
).map("".join)
REAL = {"uncased": True, "cased": False, "chinese": True}


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
@settings(deadline=None, max_examples=300)
@given(sentence=MIXED, limit=st.sampled_from([3, 100]))
def test_lost_characters_are_those_under_unknown_tokens(lowercase: bool, sentence: str, limit: int) -> None:
    tokenizer = build_tokenizer(VOCAB, lowercase=lowercase, max_input_chars_per_word=limit)
    encoder = WordEncoder(tokenizer)
    encoding = tokenizer.encode(sentence, add_special_tokens=False)
    unknown = overlong = 0
    for token, (first, last) in zip(encoding.tokens, encoding.offsets, strict=True):
        if token == "[UNK]":
            word = tokenizer.normalizer.normalize_str(sentence[first:last])
            overlong += (last - first) * (len(word) > limit)
            unknown += (last - first) * (len(word) <= limit)
    for _ in range(2):  # from the tokenizer, then from the cache
        assert encoder.lost(sentence, encoder.encode(sentence)) == (unknown, overlong)


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


def ids_of(encoder: WordEncoder, text: str) -> list[int]:
    ids: list[int] = np.frombuffer(encoder.encode(text), encoder.dtype).tolist()
    return ids


@cache
def real(folder: Path, name: str) -> tuple[Tokenizer, WordEncoder]:
    vocab = read_vocabulary(folder / "vocab" / f"bert-base-{name}-vocab.txt")
    tokenizer = build_tokenizer(vocab, lowercase=REAL[name])
    return tokenizer, WordEncoder(tokenizer)


@pytest.mark.parametrize("name", REAL)
@settings(deadline=None, max_examples=100)
@given(texts=st.lists(MIXED, min_size=1, max_size=4))
def test_ids_of_unusual_text_with_published_vocabularies(shared_data: Path, name: str, texts: list[str]) -> None:
    tokenizer, encoder = real(shared_data, name)
    encoder.clear()
    expected = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    for _ in range(2):
        assert [ids_of(encoder, text) for text in texts] == expected


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("accents", [True, False])
def test_characters_at_which_chunks_are_cut_are_words_of_their_own(
    lowercase: bool, chinese: bool, accents: bool
) -> None:
    tokenizer = build_tokenizer(VOCAB, lowercase=lowercase, chinese_characters=chinese, strip_accents=accents)
    normalize, cut = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    alone = re.compile(f"[{PUNCTUATION}{CHINESE if chinese else ''}]")
    characters = alone.findall("".join(map(chr, range(0xD800))) + "".join(map(chr, range(0xE000, 0x110000))))
    assert len(characters) > (27_000 if chinese else 100)
    for character in characters:
        assert unicodedata.combining(character) == 0
        assert unicodedata.normalize("NFD", character) == character
    words = [word for word, _ in cut(normalize("".join(f"a{character}b " for character in characters)))]
    assert words == [word for character in characters for word in ("a", character, "b")]


def test_words_between_chinese_characters_are_found() -> None:
    tokenizer = build_tokenizer(VOCAB)
    encoder = WordEncoder(tokenizer)
    text = "中the中文,theing文中[MASK]éé文a中x\u0301y文文中文中"
    assert ids_of(encoder, text) == tokenizer.encode(text, add_special_tokens=False).ids
    assert {"中", "文", "the", "theing", ","} <= set(encoder)
    assert text not in encoder  # whole sentences would fill the cache


def test_other_tokenizers_are_asked_for_every_chunk() -> None:
    """What has tokens of its own, or leaves Chinese characters together, is not cut where BERT's would be."""
    together = build_tokenizer([*VOCAB, "##文"], chinese_characters=False)
    added = build_tokenizer(VOCAB)
    added.add_tokens(["a,b", "é中"])
    for tokenizer in (together, added):
        for text in ("中文文中", "xa,by é中a,b", "a,b"):
            assert ids_of(WordEncoder(tokenizer), text) == tokenizer.encode(text, add_special_tokens=False).ids
