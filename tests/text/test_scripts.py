"""What carries meaning in a script survives a vocabulary that is trained on it; what would be lost is said."""

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from cloze.text.scripts import KEPT_FROM, script_of, sentence_notes, suited, unreachable, without_accents, writing
from cloze.text.sentences import English, Lines, Unicode
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece, build_normalizer, load_tokenizer, save_tokenizer
from cloze.text.wordpiece import train_vocabulary

TEXTS = {
    "German": "Der schöne Käse schmeckt übermäßig gut, sagte die Köchin in der Küche.",
    "Vietnamese": "Chúng tôi đã ăn phở ở Hà Nội vào buổi sáng.",
    "Russian": "Зелёный чай и чёрный кофе стоят на столе, мой друг.",
    "Greek": "Η γλώσσα είναι δύσκολη, αλλά την αγαπώ.",
    "Arabic": "أكل الأولاد الخبز في القرية القديمة.",
    "Hindi": "हिन्दी में मात्राएँ अर्थ रखती हैं।",
    "Bengali": "বাংলা ভাষা খুব সুন্দর।",
    "Tamil": "தமிழ் மொழி மிகவும் பழமையானது.",
    "Thai": "ภาษาไทยมีวรรณยุกต์และสระหลายรูป",
    "Japanese": "彼は学生である。ガラスのパイプがだんだん壊れた。",
    "Korean": "한국어는 음절로 쓰인다. 학교에 갑니다.",
    "Hebrew with points": "שָׁלוֹם עֲלֵיכֶם",
    "decomposed": unicodedata.normalize("NFD", "schöne Käse übermäßig"),
}
ENGLISH = "The naïve café owner waited. " + "Nobody came in that day, or on the next one either. " * 60
CHINESE = "今天天气很好，我们去公园散步。他说明天会下雨。"


@pytest.mark.parametrize("language", TEXTS)
def test_marks_that_carry_meaning_survive(language: str) -> None:
    text = TEXTS[language]
    words, notes = suited(WordPiece(vocab_size=400, min_frequency=1), [text] * 3)
    tokenizer = words.build(train_vocabulary([text] * 3, words))
    assert tokenizer.normalizer is not None
    # Only the case may change; what is between the words does not count.
    expected = "".join(text.lower().split())
    assert "".join(tokenizer.normalizer.normalize_str(text).split()) == expected
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    assert "".join(token.removeprefix("##") for token in tokens) == expected
    assert len(notes) == 1
    assert notes[0].startswith("warning: ")
    assert "tokenizer.strip_accents=true" in notes[0]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_other_text_is_treated_as_bert_does(text: str) -> None:
    words = WordPiece(vocab_size=400)
    assert suited(words, [text]) == (words, [])


@pytest.mark.parametrize("strip", [True, False])
def test_what_is_asked_for_holds(strip: bool) -> None:
    asked = WordPiece(strip_accents=strip, max_input_chars_per_word=100)
    words, notes = suited(asked, [TEXTS["Thai"] * 9])
    assert (words, notes) == (asked, [])
    cased = WordPiece(lowercase=False)
    assert suited(cased, [TEXTS["German"]]) == (cased, [])


def test_text_without_spaces_is_read_whole(tmp_path: Path) -> None:
    text = [TEXTS["Thai"] * 6, "ไทย"]
    words, notes = suited(WordPiece(vocab_size=400), text)
    assert words.max_input_chars_per_word == 1000
    assert "tokenizer.max_input_chars_per_word=100" in notes[1]
    tokenizer = words.build(train_vocabulary(text, words))
    ids = tokenizer.encode(text[0]).ids
    assert 1 not in ids
    save_tokenizer(tokenizer, tmp_path)
    assert load_tokenizer(tmp_path).encode(text[0]).ids == ids
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(text[0])["input_ids"] == ids
    assert set(theirs(text[0])) == {"input_ids", "token_type_ids", "attention_mask"}


def test_words_between_chinese_characters_are_short() -> None:
    characters = "天气很好" * 30
    assert writing([characters]).long == 0
    assert writing([characters], chinese_characters=False).long == 120
    assert writing(["x" * 500]).long == 0  # a web address, not a script


def test_scripts_by_name() -> None:
    found = [script_of(character) for character in "aяαกक漢ひカﾊ한ー\u0301"]
    japanese, han = "Japanese", "Chinese characters"
    expected = ["Latin", "Cyrillic", "Greek", "Thai", "Devanagari", han, *[japanese] * 3, "Hangul", japanese]
    assert found == [*expected, "loose marks"]


# Letters and marks that all tables agree on: those of the library are of an older version of Unicode than Python's.
AGREED = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character)[0] in "LM"
    and unicodedata.category(character) == unicodedata.ucd_3_2_0.category(character)
]


@given(st.text(st.sampled_from(AGREED)))
def test_accents_are_stripped_as_bert_strips_them(text: str) -> None:
    normalizer = build_normalizer(lowercase=False, chinese_characters=False, strip_accents=True)
    assert without_accents(text) == normalizer.normalize_str(text)


def test_tokens_of_a_given_vocabulary_that_no_text_gives() -> None:
    vocab = [*SPECIAL_TOKENS, "schön", "käse", *map(str, range(500))]
    assert len(vocab) * KEPT_FROM < 2
    (warning,) = unreachable(WordPiece(vocab="vocab.txt"), vocab)
    assert "2 tokens of vocab.txt can never be found (as schön, käse)" in warning
    assert "set tokenizer.strip_accents=false" in warning
    assert not unreachable(WordPiece(vocab="vocab.txt", strip_accents=False), vocab)
    assert not unreachable(WordPiece(vocab="vocab.txt"), [*vocab[:5], *vocab[7:]])


def test_thai_that_is_not_cut_is_said() -> None:
    thai = ["วันนี้ฝนตกหนักมาก เราจึงอยู่บ้านทั้งวัน"] * 3
    assert "set sentences=unicode sentences.language=th" in sentence_notes(English(), thai)[0]
    assert sentence_notes(Unicode(language="th"), thai) == sentence_notes(Lines(), thai) == []
    assert sentence_notes(English(), [line.replace(" ", "") for line in thai]) == []  # nothing could be found
    for language in set(TEXTS) - {"Thai"}:
        assert sentence_notes(English(), [TEXTS[language]] * 3) == []
