"""Sentence splitting: hard cases, real sentences joined and split again, and that no text is lost."""

import lzma
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.languages import agreement, glue, hard_cases
from cloze.errors import InputError
from cloze.text.documents import SentenceSplitter
from cloze.text.languages import LANGUAGES
from cloze.text.sentences import Chinese, English, Lines, Unicode

CASES = hard_cases()
"""Of each language, in files with one case a row, its sentences separated by "|"; written before its rules."""

RIGHT = {
    "en": (36, 36),
    "de": (29, 36),
    "fr": (26, 36),
    "es": (26, 36),
    "tr": (27, 36),
    "ar": (32, 35),
    "hi": (25, 35),
    "th": (5, 27),
    "ja": (29, 35),
    "ko": (31, 35),
    "zh": (30, 33),
}
"""Of 36 cases those that come out right: with `English`, and with `Unicode` of the language."""

CHINESE = """
\u4ed6\u6765\u4e86\u3002|\u6211\u8d70\u4e86\uff01|\u4f60\u5462\uff1f
\u4ed6\u8bf4\uff1a\u201c\u4f60\u597d\u3002\u201d|\u7136\u540e\u8d70\u4e86\u3002
\u300c\u597d\u7684\u3002\u300d|\u300e\u4e0d\u884c\uff01\u300f|\u4ed6\u7b54\u3002
\u201c\u597d\uff01\u201d\uff0c\u4ed6\u8bf4\u3002
\u771f\u7684\u5417\uff1f\uff01|\u6211\u4e0d\u4fe1\u2026\u2026|\u7b97\u4e86\u3002
\u4ef7\u683c\u662f3.5\u5143\uff0c\u6216\uff13\uff0e\uff15\u5143\u3002|\uff08\u771f\u7684\u3002\uff09
\u4ed6\u6765\u4e86\uff1b\u6211\u8d70\u4e86\u3002
\u662f\u5417?|\u662f!|\u89c1 http://a.cn/b?c=d \u3002
\u73af\u5883\u597d.|\u5473\u9053\u4e5f\u597d.
""".strip().split("\n")


def right(splitter: SentenceSplitter, language: str) -> int:
    return sum(splitter.split(glue(language).join(case)) == case for case in CASES[language])


@pytest.mark.parametrize("language", RIGHT)
def test_hard_cases(language: str) -> None:
    assert len(CASES[language]) == 36
    assert (right(English(), language), right(Unicode(language=language), language)) == RIGHT[language]


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - set(RIGHT)))
def test_other_languages(language: str) -> None:
    assert right(Unicode(language=language), language) == len(CASES[language]) >= 10


@pytest.mark.parametrize(
    ("language", "case"),
    [
        ("de", "Ich mag z. B. Die Zeit.|Du auch?"),
        ("de", "Er wohnt in der Karlstr. 5.|Sie wohnt nebenan."),
        ("es", "P. ej. Madrid y Barcelona.|Son grandes."),
        ("fr", "L'art. 12 et l'av. Foch.|C'est tout."),
    ],
)
def test_abbreviations_within_sentences(language: str, case: str) -> None:
    assert Unicode(language=language).split(case.replace("|", " ")) == case.split("|")


@pytest.mark.parametrize("splitter", [English(), Unicode(language="de")])
def test_marks_of_other_scripts_end_sentences_everywhere(splitter: SentenceSplitter) -> None:
    for mark in "\u061f\u06d4\u0964\u0965\u3002\uff01\uff1f\uff61\u1362\u0589\u17d4":
        for space in ("", " ", "\u3000"):
            assert splitter.split(f"\u0924\u0925{mark}{space}\u0926 5{mark}{mark}{space}\u0627") == [
                f"\u0924\u0925{mark}",
                f"\u0926 5{mark}{mark}",
                "\u0627",
            ]
    assert splitter.split("\uff13\uff0e\uff15") == ["\uff13\uff0e\uff15"]


def test_a_language_without_a_list_is_refused() -> None:
    with pytest.raises(InputError, match=r"sentences.language=xx: expected one of ar, de, .*; en knows the marks"):
        Unicode(language="xx")


@pytest.mark.parametrize("case", CHINESE)
def test_chinese(case: str) -> None:
    sentences = case.split("|")
    assert Chinese().split("".join(sentences)) == sentences


def test_chinese_semicolons() -> None:
    assert Chinese(semicolons=True).split("\u4ed6\u6765\u4e86\uff1b\u6211\u8d70\u4e86\u3002") == [
        "\u4ed6\u6765\u4e86\uff1b",
        "\u6211\u8d70\u4e86\u3002",
    ]


def test_lines_are_taken_as_they_are() -> None:
    assert Lines().split(" One. Two. ") == ["One. Two."]
    assert Lines().split("  ") == []


LATIN_PIECES = ["Dr", "etc", "I", "x", "The", "3", "5.1", ".", "...", "!", "?", '"', "'", ")", "(", " ", "  "]
OTHER_PIECES = [
    "\u3002",
    "\u201d",
    "\u061f",
    "\u0964",
    "\u300c",
    "\u300d",
    "\u00ab",
    "\u00bb",
    "\u202f",
    "\u4ed6",
    "\u0e19\u0e2d\u0e19\u0e2b\u0e25\u0e31\u0e1a",
]
pieces = st.sampled_from([*LATIN_PIECES, *OTHER_PIECES])

SPLITTERS = [English(), Chinese(), Chinese(semicolons=True), Lines(), *(Unicode(language=name) for name in LANGUAGES)]


@given(line=st.one_of(st.text(), st.lists(pieces).map("".join)))
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_no_text_is_lost(splitter: SentenceSplitter, line: str) -> None:
    sentences = splitter.split(line)
    assert "".join("".join(sentences).split()) == "".join(line.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_time_grows_with_the_line(splitter: SentenceSplitter) -> None:
    """A line may be of megabytes, and hold anything; with a step that looks back these would take minutes."""
    units = [".", "\u3002", "!", '"', ". ", "a. ", "A. ", "1. ", ".\t", "Dr.\t", "(. ", '. " ', 'a. " ', "[1]", '."']
    units += [
        "\u0e01 ",
        ".\u201d A b ",
        "\u300d",
        "\u2026\u2026",
        "Dr. ",
        "\u0e01" * 8 + " ",
        "\u0e41\u0e25\u0e30 ",
        "z. B. ",
    ]
    begun = time.process_time()
    for unit in units:
        line = unit * (40_000 // len(unit))
        assert "".join("".join(splitter.split(line)).split()) == "".join(line.split())
    assert time.process_time() - begun < 10


def test_newspaper_sentences_joined_and_cut_again(shared_data: Path) -> None:
    """MRPC holds single sentences of news. Those from its training and test rows, which the rules were not made on."""
    sentences = []
    for name in ("train", "test"):
        rows = (shared_data / "glue" / "MRPC" / f"{name}.tsv").read_text(encoding="utf-8-sig").split("\n")[1:]
        sentences += [row.split("\t")[3].strip() for row in rows if row.count("\t") == 4]
    sentences = [sentence for sentence in sentences if re.search(r'[.!?][ "]*$', sentence)]
    groups = [sentences[begin : begin + 6] for begin in range(0, len(sentences), 6)]
    precision, recall = agreement(English().split, groups, " ")
    assert precision > 0.97
    assert recall > 0.97


def test_german_sentences_joined_and_cut_again(shared_data: Path) -> None:
    """Sentences of the German Wikipedia in random order, some of them fragments; the rules were not made on them."""
    with lzma.open(shared_data / "lang/de_leipzig_wikipedia_2021_10k.txt.xz", "rt", encoding="utf-8") as file:
        sentences = [line.strip() for line in file if line.strip()]
    random.Random(0).shuffle(sentences)
    groups = [sentences[begin : begin + 6] for begin in range(0, len(sentences), 6)]
    precision, recall = agreement(Unicode(language="de").split, groups, " ")
    assert precision > 0.98
    assert recall > 0.96
    assert agreement(English().split, groups, " ")[0] < 0.9


def test_chinese_sentences_joined_and_cut_again(shared_data: Path) -> None:
    """The lines of the sample are sentences, cut by another program (also within decimals, which costs recall)."""
    text = (shared_data / "corpus" / "zh_clue_small.txt").read_text(encoding="utf-8")
    documents = [[line.strip() for line in part.split("\n") if line.strip()] for part in text.split("\n\n")]
    precision, recall = agreement(Chinese().split, documents, "")
    assert precision > 0.95
    assert recall > 0.84
