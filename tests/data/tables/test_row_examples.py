"""Rows become examples by the names of their columns."""

from typing import Any

import pytest

from cloze.data.tables.columns import Columns
from cloze.data.tables.row_examples import ExampleMaker
from cloze.data.tables.stream import StreamRow
from cloze.errors import BadRowError


def made(shape: str, columns: Columns = Columns(), **cells: Any) -> Any:  # noqa: B008
    return getattr(ExampleMaker(columns), shape)(StreamRow(3, "x, line 4", cells))


def test_texts_and_pairs() -> None:
    assert (made("text", text=" a ").text, made("text", text="a").text_pair) == ("a", None)
    assert made("text", text="a", text_pair="b").text_pair == "b"
    assert made("text", text="a", text_pair=None).text_pair is None
    assert made("text", Columns(text="t", text_pair="u"), t="a", u="b", text="c").text_pair == "b"
    assert made("pair", text="a", text_pair="b").text_pair == "b"
    for empty in ("", " ", None, float("nan")):
        assert (made("text", text=empty).text, made("text", text="a", text_pair=empty).text_pair) == ("", None)


def test_words_are_a_list_or_cut() -> None:
    assert made("words", words=["a", "b c"]).words == ("a", "b c")
    assert made("words", Columns(words="w"), w="a. b", words=["c"]).words == ("a.", "b")


def test_words_of_a_raw_text_are_set_apart_and_know_their_place() -> None:
    for found in (made("words", text=" a.  b"), made("words", Columns(text="t"), t=" a.  b", text="c")):
        assert (found.words, found.text, found.offsets) == (("a", ".", "b"), " a.  b", ((1, 2), (2, 3), (5, 6)))
    assert made("words", words="a. b").text is None


def test_a_sentence_without_words_keeps_its_row() -> None:
    rows: list[dict[str, Any]] = [{"words": []}, {"words": None}, {"words": " "}, {"text": ""}, {"text": None}]
    assert [made("words", **cells).words for cells in rows] == [()] * 5
    assert made("words", text=" ").text == " "


def test_questions_keep_their_passage_as_it_is() -> None:
    for names in (("question", "context"), ("text", "text_pair")):
        found = made("question", Columns(), **dict(zip(names, (" q ", " c "), strict=True)))
        assert (found.question, found.context) == ("q", " c ")
    assert made("question", Columns(question="q", context="c"), q="a", c="b").context == "b"


def test_choices() -> None:
    assert made("choice", text="a", choices=["b", "c"]).choices == ("b", "c")
    assert made("choice", text="a", text_pair=["b", "c"]).choices == ("b", "c")
    assert made("choice", Columns(choices=["x", "y"]), text="a", x="b", y="c").choices == ("b", "c")
    assert made("choice", Columns(choices=["x", "y", "z"]), text="a", x="b", y="c", z=" ").choices == ("b", "c")


def test_a_row_has_its_own_name_or_its_number() -> None:
    assert [made("text", text="a", **cells).id for cells in ({}, {"id": "q"}, {"id": 7}, {"id": None})] == [
        "3", "q", "7", "3"
    ]  # fmt: skip
    assert made("text", Columns(id="n"), text="a", n="z", id="q").id == "z"


@pytest.mark.parametrize(
    ("shape", "columns", "cells", "message"),
    [
        ("text", Columns(), {"txt": "a"}, r"has no 'text' \(there: 'txt'\); set columns.text=NAME"),
        ("text", Columns(text="t"), {"text": "a"}, "has no 't'"),
        ("text", Columns(text_pair="u"), {"text": "a"}, "has no 'u'"),
        ("pair", Columns(), {"text": " ", "text_pair": "a"}, "has an empty text"),
        ("text", Columns(), {"text": ["a"]}, "is of type list, not text"),
        ("pair", Columns(), {"text": "a"}, "has no 'text_pair'"),
        ("pair", Columns(), {"text": "a", "text_pair": None}, "has an empty text_pair"),
        ("words", Columns(), {"words": 3}, "has no list of words"),
        ("words", Columns(), {"words": ["a", ""]}, "has no list of words"),
        ("question", Columns(), {"question": "a", "context": ""}, "has no passage"),
        ("choice", Columns(), {"text": "a", "choices": ["b"]}, "has 1 choice, but needs two at least"),
        (
            "choice",
            Columns(choices=["x", "y", "z"]),
            {"text": "a", "x": "b", "y": "", "z": "c"},
            "its choice 2 is empty",
        ),
        ("choice", Columns(), {"text": "a", "choices": "b"}, "are no list"),
        ("text", Columns(id="n"), {"text": "a"}, "has no 'n'"),
    ],
)
def test_rows_that_are_no_examples(shape: str, columns: Columns, cells: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRowError, match=message):
        made(shape, columns, **cells)
