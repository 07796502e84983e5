"""What is refused before it is believed, and that everything else is read as by the libraries themselves."""

import gzip
import io
import json
import lzma
import time
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloze.files.bounded import (
    FREE_EXPANSION,
    MAX_YAML_DEPTH,
    Expanded,
    ExpansionError,
    parse_json,
    parse_yaml,
    read_json,
    read_member,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)


def expanded(stream: object, packed: int) -> io.BufferedReader:
    return io.BufferedReader(Expanded(cast(BinaryIO, stream), packed))


def refused() -> AbstractContextManager[object]:
    return pytest.raises(ExpansionError, match="more than 250 times")


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    text = yaml.safe_dump(value)
    assert parse_yaml(text) == yaml.safe_load(text)


def test_shared_values_are_read() -> None:
    shared = ["text", "label"]
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared})) == {"a": shared, "b": shared}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "more than 200,000 values"),
        ("&a [*a]", "inside of what it stands for"),
        ("[" * 100_000, "deeper than 64 levels"),
        ("- " * (MAX_YAML_DEPTH + 1) + "x", "deeper than 64 levels"),
        ("a: " + "9" * 5000, "a number of more than 4,300 digits"),
        ("a: 1" + ":59" * 1_000_000, "a number of more than 4,300 digits"),
        ("x" * (9 << 20), "longer than"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a: [", "expected the node content"),
    ],
)
def test_a_configuration_that_no_one_wrote_is_refused_at_once(text: str, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[" * 10_000, "nested too deeply"), ("9" * 5000, "more than 4,300 digits"), ("{", "Expecting property name")],
)
def test_json_that_cannot_be_read_is_one_kind_of_error(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=reason):
        read_json(file)


def test_compressed_text_may_shrink_as_text_does_and_not_as_zeros_do() -> None:
    few = lzma.compress(bytes(FREE_EXPANSION))
    with expanded(lzma.LZMAFile(io.BytesIO(few)), len(few)) as stream:
        assert len(stream.read()) == FREE_EXPANSION
    many = gzip.compress(bytes(FREE_EXPANSION + 1), 1)
    with expanded(gzip.GzipFile(fileobj=io.BytesIO(many)), len(many) // 10) as stream, refused():
        stream.read()


def test_a_member_of_an_archive_is_weighed_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small.json", "{}")
        archive.writestr("bomb.json", bytes(FREE_EXPANSION + 1))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert read_member(archive, "small.json") == b"{}"
        with refused():
            read_member(archive, "bomb.json")
