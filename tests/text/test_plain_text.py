"""The words that byte-level models see, against the library's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from cloze.text.plain_text import BYTES, SEPARATOR, ByteWords
from cloze.text.word_boundaries import LLAMA_3

CUTS = {
    "gpt_2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "gpt_2_with_space": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "llama_3": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA_3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
}
BITS = [
    *"aSé\u0301\u6f22\u3002\u3041\u00b2\u2167\u0e01\u0e31'\u017f\u212a \t\n\r\u00a0\u2028\x1c\x00_.!",
    *("'s", "'LL", "123", "  "),
]


def words_of(kind: str) -> ByteWords:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = CUTS[kind]
    found = ByteWords.of(tokenizer)
    assert found is not None
    return found


def library(kind: str, text: str) -> str:
    return SEPARATOR.join(word for word, _ in CUTS[kind].pre_tokenize_str(text))


@pytest.mark.parametrize("kind", CUTS)
def test_each_character_is_of_the_class_that_the_library_takes_it_for(kind: str) -> None:
    words = words_of(kind)
    texts = [f"a{chr(n)} {chr(n)}1{chr(n)}." for n in range(0x10000) if not 0xD800 <= n < 0xE000]
    known = list(filter(words.knows, texts))
    assert len(known) > 45_000
    assert list(map(words.of_text, known)) == [library(kind, text) for text in known]


@pytest.mark.parametrize("kind", CUTS)
@given(text=st.lists(st.sampled_from(BITS)).map("".join) | st.text())
def test_the_words_of_a_text_are_those_of_the_library(kind: str, text: str) -> None:
    words = words_of(kind)
    if words.knows(text):
        assert words.of_text(text) == library(kind, text)


def test_other_rules_are_left_to_the_library() -> None:
    tokenizer = Tokenizer(models.BPE())
    isolated = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
    for parts in (
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel()],
        [isolated, pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)],
        [isolated, isolated, pre_tokenizers.ByteLevel(False, use_regex=False)],
        [pre_tokenizers.Metaspace()],
    ):
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        assert ByteWords.of(tokenizer) is None


def test_each_byte_has_the_character_of_the_library() -> None:
    assert sorted(BYTES) == sorted(pre_tokenizers.ByteLevel.alphabet())
