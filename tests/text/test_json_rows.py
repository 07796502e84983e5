"""Documents of JSON: the rows of the whole, whatever is before them, however they are written."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.sources import json_rows
from cloze.text.sources.json_rows import document_rows, head_of, is_document

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["text", "label", "data"]), VALUES), max_size=5)
BEFORE = st.dictionaries(st.text("abcd", max_size=3), VALUES, max_size=3)


def read(text: str) -> list[object]:
    return list(document_rows(io.BytesIO(text.encode()), "a.json"))


@given(ROWS, BEFORE, st.sampled_from([None, 0, 1, "\t"]), st.booleans(), st.sampled_from([1, 2, 7, 1 << 16]))
def test_the_rows_are_those_of_the_json_module(
    rows: list[dict[str, Any]], before: dict[str, Any], indent: Any, ascii_only: bool, at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHARACTERS_AT_ONCE", at_once)
        text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
        assert read(text) == rows
        assert is_document(text.encode())
        text = json.dumps({**before, "data": rows, "zzz": 1}, indent=indent, ensure_ascii=ascii_only)
        assert read(text) == rows
        assert is_document(f"\ufeff{text}".encode()) == bool(rows)


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "a", "label": 1}\n{"text": "b"}',
        '{"text": "a", "data": 1}',
        '{"text": "a", "data": ["x"]}',
        '{"text": "a", "spans": [{"start": 1}]}',
        '{"text": "a',
        "",
        "text,label",
    ],
)
def test_other_texts_are_no_documents(text: str) -> None:
    assert not is_document(text.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1}, {"a"', r"a.json: is not JSON \(.*, in row 2\); write the file again"),
        ('[{"a": 1} {"a": 2}]', "expected ','"),
        ('[{"a": 1}', "it ends before its end"),
        ('{"data": 3}', r"expected '\['"),
        ('{"version": 1}', "expected ','"),
        ("[" * 100_000, "it is nested too deeply"),
        (f"[{'9' * 5000}]", "a whole number of more than 4,300 digits"),
        ('[{"a": "\\x"}]', "is not JSON"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(text)


def test_one_value_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LONGEST_VALUE", 1000)
    monkeypatch.setattr(json_rows, "CHARACTERS_AT_ONCE", 100)
    rows = [{"text": "word " * 20}] * 500
    assert read(json.dumps(rows)) == rows  # far longer than a value may be
    with pytest.raises(InputError, match="a value is longer than 1,000 characters"):
        read(json.dumps([{"text": "x" * 200_000}]))


def test_what_is_seen_of_a_stream_is_not_read() -> None:
    stream = io.BufferedReader(io.BytesIO(b'[{"a": 1}]'))
    assert is_document(head_of(stream))
    assert list(document_rows(stream, "a.json")) == [{"a": 1}]
    assert head_of(io.BytesIO(b"[]")) == b""
