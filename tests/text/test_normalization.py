"""Letters that normalisation alters, against Python's own normal forms."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers

from cloze.text.normalization import AlteredLetters, Normalization

NORMALIZERS = {
    "bert": normalizers.BertNormalizer(),
    "bert_with_accents": normalizers.BertNormalizer(strip_accents=False),
    "bert_cased": normalizers.BertNormalizer(lowercase=False),
    "cased_without_accents": normalizers.BertNormalizer(lowercase=False, strip_accents=True),
    "albert": normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
    "nfkc": normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), "\u2581")]),
    "nfd": normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]),
    "bytes": normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]),
    "none": None,
    "blanks": normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), r"\1"), normalizers.Replace("a", "A")]),
    "lowercase": normalizers.Sequence([normalizers.Lowercase(), normalizers.NFKD()]),
}
# Letters and marks that all tables agree on: those of the library are of an older version of Unicode than Python's.
AGREED = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character)[0] in "LM"
    and unicodedata.category(character) == unicodedata.ucd_3_2_0.category(character)
]
SENTENCE = "Übermäßig schön; أَكَلَ الوَلَدُ; ภาษาไทยกี่คำ; 한국어; が ﾊ ﬁ Ａ"
STRIPPED = "Üäö\u0623\u064e\u064e\u064e\u064e\u064e\u064f\u0e35\u0e48が"


def tokenizer(kind: str) -> Tokenizer:
    found = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    if (normalizer := NORMALIZERS[kind]) is not None:
        found.normalizer = normalizer
    return found


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_letters_of_a_sentence(kind: str) -> None:
    folded = "\u0e33ﾊﬁＡ"
    expected = {"bert": STRIPPED, "cased_without_accents": STRIPPED, "albert": STRIPPED + folded, "nfkc": folded}
    expected["lowercase"] = folded
    assert sorted(AlteredLetters(tokenizer(kind)).found(SENTENCE)) == sorted(expected.get(kind, ""))


def same(text: str) -> str:
    """The text but for the case, letter by letter, and for canonical equivalence."""
    return unicodedata.normalize("NFC", "".join(letter.lower() for letter in unicodedata.normalize("NFC", text)))


@pytest.mark.parametrize("kind", sorted(set(NORMALIZERS) - {"bytes", "none"}))
@given(st.text(st.sampled_from(AGREED), max_size=6))
def test_a_text_without_them_stays_as_it_is(kind: str, text: str) -> None:
    """And each of them is changed where it stands alone."""
    found, normalizer = list(AlteredLetters(tokenizer(kind)).found(text)), NORMALIZERS[kind]
    assert normalizer is not None
    for letter in found:
        assert same(normalizer.normalize_str(letter).strip()) != same(letter)
    if not found:
        assert same("".join(normalizer.normalize_str(text).split())) == same(text)


PLANE = [chr(number) for number in range(0x10000) if not 0xD800 <= number < 0xE000]


BY_PYTHON = {"nfkc", "nfd", "none", "blanks", "lowercase"}


@pytest.mark.parametrize("kind", sorted(BY_PYTHON))
def test_each_character_is_normalised_as_by_the_library(kind: str) -> None:
    found, normalizer = Normalization(tokenizer(kind)), NORMALIZERS[kind]
    normalize = str if normalizer is None else normalizer.normalize_str
    for around in (" {} ", "a{}\u0301"):
        assert [found(around.format(each)) for each in PLANE] == [normalize(around.format(each)) for each in PLANE]


@pytest.mark.parametrize("kind", NORMALIZERS)
@given(text=st.text() | st.text(st.sampled_from([*AGREED, *"\u03a3\u1112\u1161\u11ab\x1c\x85\u3000 \uff0c"])))
def test_a_text_is_normalised_as_by_the_library(kind: str, text: str) -> None:
    normalizer = NORMALIZERS[kind]
    expected = text if normalizer is None else normalizer.normalize_str(text)
    found = Normalization(tokenizer(kind))
    assert found(text) == expected
    assert found.by_python == (kind in BY_PYTHON)
