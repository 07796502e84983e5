"""Rows of a stream: exact cells and line numbers in every format, bad rows, and memory that does not grow."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.tables.formats import Format, TableFormat
from cloze.data.tables.stream import stream_rows
from cloze.errors import InputError
from tests import processes

AUTO = TableFormat()
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TABLES = st.lists(st.tuples(CELLS.map(lambda cell: "x" + cell), CELLS), max_size=6)


def cells(path: Path, layout: TableFormat = AUTO, skip: int = 0) -> list[dict[str, Any]]:
    return [row.cells for row in stream_rows(str(path), layout, skip=skip)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_text_has_one_row_a_line_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\r\n\n \u3000\ntwo \u2028 2\n")
    found = list(stream_rows(str(path), AUTO))
    assert [(row.number, row.where, row.cells) for row in found] == [
        (0, f"{path}, line 1", {"text": "one"}),
        (1, f"{path}, line 4", {"text": "two \u2028 2"}),
    ]


def test_words_are_cut_at_blanks(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "EU  rejects\tcall\n")
    assert cells(path, TableFormat(format="words")) == [{"words": ["EU", "rejects", "call"]}]


def test_tables_with_and_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", gzip.compress(b'n,text\n1,"two\nlines, ""quoted"""\n\n2,plain\n'))
    found = list(stream_rows(str(path), AUTO))
    assert [row.cells for row in found] == [{"n": "1", "text": 'two\nlines, "quoted"'}, {"n": "2", "text": "plain"}]
    assert [row.where.rpartition(", ")[2] for row in found] == ["line 2", "line 5"]
    path = write(tmp_path / "a.tsv", 'a\t" stray\nb\tc\n')
    assert cells(path, TableFormat(header=False)) == [{"0": "a", "1": '" stray'}, {"0": "b", "1": "c"}]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
@settings(max_examples=30)
@given(rows=TABLES)
def test_what_other_libraries_write_is_read(
    form: Format, rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{form}"
    if form == "tsv":  # has no quoting
        rows = [(a.translate({9: " ", 10: " ", 13: " "}), b.translate({9: " ", 10: " ", 13: " "})) for a, b in rows]
    expected = [{"a": a, "b": b} for a, b in rows]
    if form == "jsonl":
        write(path, "".join(json.dumps(row) + "\n" for row in expected))
    elif form == "parquet":
        schema = pa.schema([("a", pa.string()), ("b", pa.string())])
        pq.write_table(pa.Table.from_pylist(expected, schema), path, row_group_size=2)
    else:
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter="," if form == "csv" else "\t", quoting=csv.QUOTE_ALL)
        writer.writerows([("a", "b"), *rows])
        plain = "".join(f"{a}\t{b}\n" for a, b in [("a", "b"), *rows])
        write(path, buffer.getvalue() if form == "csv" else plain)
    assert cells(path) == expected
    for skip in range(len(rows) + 2):
        assert cells(path, skip=skip) == expected[skip:]
        assert [row.number for row in stream_rows(str(path), AUTO, skip=skip)] == list(range(skip, len(rows)))


BAD = [
    ("a.txt", b"one\n\xff\ntwo\n", "line 2: is not UTF-8 (byte 0xff)", "lines that are not UTF-8"),
    ("a.txt", b"one\n\0\ntwo\n", "line 2: holds a NUL byte", "lines with NUL bytes"),
    ("a.jsonl", b'{"text": 1}\n{"text"\n{"text": 2}\n', "line 2: is not JSON", "lines that are not JSON"),
    ("a.jsonl", b'{"text": 1}\n[2]\n{"text": 2}\n', "line 2: is not a JSON object", "rows that are not JSON objects"),
    ("a.csv", b"t,u\na,b\na,b,c\nc,d\n", "line 3: has 3 columns where the first line", "too few or too many columns"),
    ("a.csv", b't,u\na,b\n"a"b,c\nc,d\n', "line 3: its quotes are not those", "quotes that do not fit"),
    ("a.csv", b't,u\na,b\n"\xff\nc,d\n', "line 3: is not UTF-8", "lines that are not UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "message", "kind"), BAD)
def test_a_bad_row_stops_or_is_counted(tmp_path: Path, name: str, content: bytes, message: str, kind: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        cells(path)
    assert f"{path}, {message}" in str(error.value)
    assert "on_bad_row=skip leaves such rows out" in str(error.value)
    counts: Counter[str] = Counter()
    found = list(stream_rows(str(path), AUTO, on_bad_row="skip", counts=counts))
    assert [row.number for row in found] == [0, 2]
    assert counts == {kind: 1}
    assert [row.number for row in stream_rows(str(path), AUTO, skip=1, on_bad_row="skip")] == [2]


def test_a_string_of_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers())
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 2: is not UTF-8"):
        cells(tmp_path / "a.parquet")
    rows = stream_rows(str(tmp_path / "a.parquet"), AUTO, on_bad_row="skip")
    assert [(row.number, row.cells["text"]) for row in rows] == [(0, "a"), (2, "c")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.doc", "x", "its suffix is none of .txt, "),
        ("a.csv", "", "is empty"),
        ("a.csv", "a,a\n1,2\n", "several columns of the name 'a'"),
        ("a.parquet", "x", "cannot be read as Parquet"),
        ("a.txt.gz", "x", "the .gz file is damaged"),
        ("absent.txt", None, "cannot be read"),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        cells(tmp_path / name)


GROWTH = """
import resource, sys
from collections import Counter
from cloze.data.tables.formats import TableFormat
from cloze.data.tables.stream import stream_rows
counts, total, start = Counter(), 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for row in stream_rows(sys.argv[1], TableFormat(format=sys.argv[2]), on_bad_row="skip", counts=counts):
    total += sum(map(len, row.cells.values()))
print(total, sum(counts.values()), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10)
"""


@pytest.mark.parametrize("form", ["text", "csv"])
def test_memory_does_not_grow_with_the_input(form: str) -> None:
    """300 MB through a pipe, 120 MB of them bad: a line without end, or a quote that is never closed."""
    line = b"a" * 9_999 + b"\n"
    bad = b"b," * 500_000 + (b"\n" if form == "csv" else b"")
    command = [sys.executable, "-c", GROWTH, "-", form]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with processes.started(command, env=environment, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"text\n" if form == "csv" else b"")
        for _ in range(90):
            process.stdin.write(line * 100)
        process.stdin.write(b'"' if form == "csv" else b"")
        for _ in range(120):
            process.stdin.write(bad)
        process.stdin.write(b"\n")
        for _ in range(90):
            process.stdin.write(line * 100)
        process.stdin.close()
        total, skipped, megabytes = map(int, process.stdout.read().split())
        assert process.wait(timeout=60) == 0
    assert total == 18_000 * 9_999
    assert skipped == 1 if form != "csv" else 1 < skipped < 120
    assert megabytes < 150


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz"])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_and_a_document_of_json_are_rows(tmp_path: Path, name: str, indent: int | None) -> None:
    expected = [{"text": "ä", "n": 1}, {"text": "b"}]
    for document in (expected, {"version": "v1", "data": expected}):
        content = json.dumps(document, indent=indent).encode()
        path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
        assert cells(path) == expected
        assert cells(path, skip=1) == expected[1:]
        assert next(stream_rows(str(path), AUTO)).where == f"{path}, row 1"
    with pytest.raises(
        InputError, match=r"row 2: is not a JSON object; write one object for each row; on_bad_row=skip"
    ):
        cells(write(tmp_path / "b.json", '[{"text": "a"}, "b"]'))
