"""Rows of tables: exact cells, real line numbers, and what is refused."""

import csv
import gzip
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.tables.formats import TableFormat
from cloze.data.tables.table import read_table
from cloze.errors import BadRowError, InputError

PLAIN = TableFormat(header=False)


def rows(path: Path, layout: TableFormat = PLAIN) -> list[tuple[int, Sequence[object] | str]]:
    table = read_table(str(path), "train", layout)
    return [(n, str(cells) if isinstance(cells, BadRowError) else list(cells)) for n, cells in table.rows]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_tsv_has_no_quoting(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", '1\t" stray\n2\ta "b\n3\t"c"\n')
    assert rows(path) == [(1, ["1", '" stray']), (2, ["2", 'a "b']), (3, ["3", '"c"'])]
    with pytest.raises(
        InputError, match=r"line 1: its quotes are not those of a CSV file .* set task.data.quoting=none"
    ):
        rows(path, TableFormat(header=False, quoting="quotes"))


def test_a_csv_has_quotes_and_its_rows_know_the_line_they_begin_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'n,text\n1,"two\nlines, ""quoted"""\n2,plain\n')
    table = read_table(str(path), "train", TableFormat())
    assert table.columns == ("n", "text")
    assert list(table.rows) == [(2, ["1", 'two\nlines, "quoted"']), (4, ["2", "plain"])]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    odd = "a\x85b\u2028c\u2029d\x0be\x1cf"
    assert rows(write(tmp_path / "a.tsv", f"{odd}\tx\r\n{odd}\ty")) == [(1, [odd, "x"]), (2, [odd, "y"])]
    assert rows(write(tmp_path / "a.csv", f'{odd},x\r\n"{odd}",y\r\n')) == [(1, [odd, "x"]), (2, [odd, "y"])]
    path = write(tmp_path / "a.jsonl", json.dumps({"t": odd}, ensure_ascii=False) + "\r\n")
    assert rows(path) == [(1, [odd])]


def test_bom_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufefftext\nx\n".encode()))
    assert read_table(str(path), "train", TableFormat()).columns == ("text",)


def test_bad_rows_are_told_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\n1\n\n1\t2\t3\n4\t5\n")
    assert rows(path, TableFormat()) == [
        (2, "has 1 column where the first line has 2"),
        (3, "is blank"),
        (4, "has 3 columns where the first line has 2"),
        (5, ["4", "5"]),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"x\ny\0z\n", "a.tsv, line 2: holds a NUL byte"),
        ("a.csv", b"x\n\ny\xff\n", r"a.csv, line 3: is not UTF-8 \(invalid start byte\); convert"),
        ("a.tsv", b"", "a.tsv: is empty"),
        ("a.jsonl", b"\n", "a.jsonl: has no JSON object"),
        ("a.parquet", b"x", "a.parquet: cannot be read as Parquet"),
        ("a.data", b"x", "its suffix is none of .csv, .*set task.data.delimiter"),
        ("a.csv.gz", b"x", "damaged or truncated"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        rows(tmp_path / name)


def test_json_lines(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": 1}', '{"label": ["x"], "more": null}', "[1]", "{", '{"text": "\\ud800"}']
    table = read_table(str(write(tmp_path / "a.jsonl", "\n".join(lines))), "train", PLAIN)
    assert table.columns == ("text", "label", "more")
    found = [(n, str(cells) if isinstance(cells, BadRowError) else cells) for n, cells in table.rows]
    assert found[:2] == [(1, ["a", 1, None]), (2, [None, ["x"], None])]
    assert found[2][1] == "is not a JSON object; write one object for each row"
    assert str(found[3][1]).startswith("is not JSON (")
    assert found[4][1] == "holds half of a surrogate pair, which is no character"


@pytest.mark.parametrize("form", ["array", "data"])
def test_documents_of_json(shared_cases: Path, form: str) -> None:
    table = read_table(str(shared_cases / "23-csv" / f"dev_{form}.json"), "dev", PLAIN)
    assert (table.columns, table.unit) == (("text", "label"), "row")
    plain = read_table(str(shared_cases / "23-csv" / "dev_plain.csv"), "dev", TableFormat())
    assert [list(row.cells) for row in table.rows] == [list(row.cells) for row in plain.rows]  # type: ignore[arg-type]


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "label": [1, 2]}), tmp_path / "a.parquet", row_group_size=1)
    table = read_table(str(tmp_path / "a.parquet"), "train", PLAIN)
    assert (table.columns, table.unit) == (("text", "label"), "row")
    assert list(table.rows) == [(1, ("a", 1)), (2, (None, 2))]


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=2)))
def test_whatever_the_csv_module_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *cells])
    path = write(tmp_path_factory.mktemp("csv") / "a.csv", text.getvalue())
    assert [row for _, row in rows(path)][1:] == cells


def test_a_long_document_is_one_cell(tmp_path: Path) -> None:
    long = "word " * 100_000
    assert rows(write(tmp_path / "a.csv", f'"{long}",1\n'))[0][1][0] == long


@pytest.mark.filterwarnings("ignore")  # of the package's own making
def test_a_folder_as_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets (extra: hub) is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    label = datasets.ClassLabel(names=["no", "yes"])
    kind = datasets.Features({"text": datasets.Value("string"), "label": label, "tags": datasets.List(label)})
    content = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]}
    data = datasets.Dataset.from_dict(content, features=kind)
    folder = tmp_path / "set"
    folder.mkdir()
    data.to_parquet(folder / "train.parquet")
    data.select([0]).to_parquet(folder / "validation.parquet")
    table = read_table(f"hub:{folder}", "train", PLAIN)
    assert (table.name, table.columns) == (f"hub:{folder}", ("text", "label", "tags"))
    assert list(table.rows) == [
        (1, ("a", "yes", ["no", "yes"])),
        (2, ("b", "no", [])),
        (3, ("c", None, ["yes"])),
    ]
    assert list(read_table(f"hub:{folder}", "dev", PLAIN).rows) == [(1, ("a", "yes", ["no", "yes"]))]
    assert len(list(read_table(f"hub:{folder}::train", "test", PLAIN).rows)) == 3
    with pytest.raises(InputError, match=r"cannot be opened \(.*expected hub:NAME"):
        read_table(f"hub:{folder}", "test", PLAIN)


def test_the_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs the package datasets; install it with: pip install -e '\.\[hub\]'"):
        read_table("hub:glue:sst2", "train", PLAIN)
