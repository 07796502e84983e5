"""Outputs are whole or go on: journals, torn lines, full disks, columns that do not fit."""

import csv
import datetime as dt
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.tables.delimited_output import flat
from cloze.data.tables.output import ParquetOutput, check_output, json_lines, open_output
from cloze.errors import InputError

COMMAND = {"task": "fill-mask", "input": ["a.txt", 3, 4]}
ROWS = [{"id": str(number), "text": "ä" * number} for number in range(10)]


def write(path: Path, *, start: int, stop: int, command: dict[str, Any] | None = COMMAND) -> int:
    """Rows from where the output stands up to `stop`; the number that was done before. It fails if that is not 10."""
    with open_output(str(path), {}, command) as output:
        done = output.done
        assert done == start
        for number in range(done, stop, 2):
            output.counts["odd"] += 1
            output.write(ROWS[number : number + 2], number + 2)
        if stop < 10:
            raise KeyboardInterrupt
    return done


def write_all(path: Path, *chunks: list[dict[str, Any]]) -> None:
    with open_output(str(path), {}, COMMAND) as output:
        for chunk in chunks:
            output.write(chunk, output.done + len(chunk))


@settings(max_examples=20)
@given(stops=st.lists(st.sampled_from([2, 4, 6, 8]), unique=True).map(sorted), torn=st.binary(max_size=5))
def test_json_lines_go_on_from_any_place(
    stops: list[int], torn: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("out") / "a.jsonl"
    start = 0
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            write(path, start=start, stop=stop)
        start = stop
        partial = path.with_name("a.jsonl.partial")
        assert partial.read_bytes() == json_lines(ROWS[:stop])
        partial.write_bytes(partial.read_bytes() + torn)  # of a process that was killed
        assert not path.exists()
    write(path, start=start, stop=10)
    assert path.read_bytes() == json_lines(ROWS)
    assert [file.name for file in path.parent.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("stop", [2, 8])
def test_csv_and_tsv_go_on_below_their_header(name: str, stop: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, start=0, stop=stop)
    partial = tmp_path / f"{name}.partial"
    partial.write_bytes(partial.read_bytes() + b"half a l")
    write(tmp_path / name, start=stop, stop=10)
    with (tmp_path / name).open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.DictReader(stream, delimiter="," if name == "a.csv" else "\t")) == ROWS
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "b.csv", start=0, stop=4)
    damaged = tmp_path / "b.csv.partial"
    damaged.write_bytes(b"\xff" * len(damaged.read_bytes()))
    with pytest.raises(InputError, match=r"b.csv.partial: its first line is damaged; delete it"):
        write(tmp_path / "b.csv", start=4, stop=10)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@given(rows=st.lists(st.fixed_dictionaries({"a": CELLS.map("x".__add__), "b,;": CELLS}), min_size=1, max_size=5))
def test_csv_is_what_the_csv_module_reads(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    for delimiter in ("auto", ";"):
        path = tmp_path_factory.mktemp("csv") / "a.csv"
        with open_output(str(path), {}, None, delimiter) as output:
            output.write(rows[:2], 2)
            output.write(rows[2:], len(rows))
        with path.open(encoding="utf-8-sig", newline="") as stream:
            assert list(csv.DictReader(stream, delimiter=";" if delimiter == ";" else ",")) == rows


def test_what_a_table_cannot_hold(tmp_path: Path) -> None:
    rows = [{"id": "1", "a": [1, {"b": "ä"}], "c": None, "d": float("nan"), "e": dt.date(2020, 1, 2), "f": 0.5}]
    write_all(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_text("utf-8-sig").split("\n")[1].strip() == (
        '1,"[1, {""b"": ""ä""}]",,,2020-01-02,0.5'
    )
    write_all(tmp_path / "a.tsv", [{"id": "1", "text": 'tab\tand\r\nlines "quoted"'}])
    assert (tmp_path / "a.tsv").read_bytes() == b'id\ttext\n1\ttab and lines "quoted"\n'
    with pytest.raises(InputError, match=r"b.csv: 'more' is in no row before; .* write .jsonl, or set keep=false"):
        write_all(tmp_path / "b.csv", [{"id": "1"}], [{"id": "2", "more": 1}])
    fields = {"prediction": pa.string(), "probabilities": pa.struct([("good", pa.float64()), ("bad", pa.float64())])}
    with open_output(str(tmp_path / "c.csv"), fields, COMMAND):
        pass
    head = (tmp_path / "c.csv").read_text("utf-8-sig").strip()
    assert head == "id,prediction,probability_good,probability_bad"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"prediction": "b", "probabilities": {"a": 0.1, "b": 0.9}}, [("prediction", "b"), ("probability_a", 0.1)]),
        ({"prediction": ["b"], "probabilities": {"a": 0.1, "b": 0.9}}, [("prediction_a", 0), ("prediction_b", 1)]),
        ({"prediction": {"joy": 0.5}, "label": {"joy": 1.0}}, [("prediction_joy", 0.5), ("label_joy", 1.0)]),
        ({"prediction": ["O", "B-X"]}, [("prediction", ["O", "B-X"])]),
        ({"choices": ["a", "b"], "probabilities": {"0": 0.1, "1": 0.9}}, [("choices", ["a", "b"])]),
    ],
)
def test_a_column_for_each_label(said: dict[str, Any], expected: list[tuple[str, Any]]) -> None:
    found = list(flat(said).items())
    assert all(pair in found for pair in expected)
    assert ("probabilities" in flat(said)) == ("choices" in said)


def test_another_command_does_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.jsonl", start=0, stop=4)
    with pytest.raises(InputError, match=r"a.jsonl: there is unfinished output of something else \(task: was"):
        write(tmp_path / "a.jsonl", start=4, stop=10, command={**COMMAND, "task": "task"})
    with pytest.raises(InputError, match=r"something else \(input: was"):
        write(tmp_path / "a.jsonl", start=4, stop=10, command=None)
    write(tmp_path / "a.jsonl", start=4, stop=10)


def test_a_pipe_is_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.jsonl", start=0, stop=4, command=None)
    write(tmp_path / "a.jsonl", start=0, stop=10, command=None)
    assert (tmp_path / "a.jsonl").read_bytes() == json_lines(ROWS)


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "a.jsonl"), {}, COMMAND) as first:
        with pytest.raises(InputError, match=r"a.jsonl: another process is writing it; wait for it"):
            write(tmp_path / "a.jsonl", start=0, stop=10)
        first.write(ROWS, 10)
    assert (tmp_path / "a.jsonl").read_bytes() == json_lines(ROWS)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows beyond 4 KiB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "a.jsonl"
    long = [{"id": str(number), "text": "x" * 1500} for number in range(4)]
    request.getfixturevalue("full_disk")
    with pytest.raises(InputError, match=r"a.jsonl.partial: cannot be written .* resumes where this one stopped"):
        write_all(path, long[:1], long[1:])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    assert path.with_name("a.jsonl.partial").read_bytes() == json_lines(long[:1])
    with open_output(str(path), {}, COMMAND) as output:
        assert output.done == 1
        output.write(long[1:], 4)
    assert path.read_bytes() == json_lines(long)


def test_a_full_disk_leaves_no_parquet(tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_all(tmp_path / "a.parquet", [{"id": str(number), "text": f"{number**9}"} for number in range(2000)])
    assert not list(tmp_path.iterdir())


def test_parquet_has_the_types_that_are_told_and_those_of_the_first_rows(tmp_path: Path) -> None:
    fields = {"start": pa.int64(), "probabilities": pa.map_(pa.string(), pa.float64())}
    with open_output(str(tmp_path / "a.parquet"), fields, None) as output:
        output.write([{"id": "0", "start": None, "probabilities": {"0": 0.5}, "n": 1, "any": None, "mixed": "a"}], 1)
        output.write([{"id": "1", "start": 3, "probabilities": {}, "n": 2, "any": ["x"], "mixed": 3}], 2)
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"id": "0", "start": None, "probabilities": [("0", 0.5)], "n": 1, "any": None, "mixed": "a"},
        {"id": "1", "start": 3, "probabilities": [], "n": 2, "any": '["x"]', "mixed": "3"},
    ]


@pytest.mark.parametrize(
    ("row", "message"), [({"id": "1", "new": 1}, "'new' is in no row before"), ({"id": "1", "n": "x"}, "'n' is not")]
)
def test_rows_that_do_not_fit_into_parquet(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_all(tmp_path / "a.parquet", [{"id": "0", "n": 1}], [row])
    assert not list(tmp_path.iterdir())


def test_parquet_of_nothing_has_its_columns(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "a.parquet"), {"prediction": pa.string()}, None) as output:
        assert isinstance(output, ParquetOutput)
    assert pq.read_table(tmp_path / "a.parquet").column_names == ["prediction"]


def test_what_json_has_no_word_for() -> None:
    row = {"day": dt.date(2020, 1, 2), "bytes": b"x", "nan": float("nan"), "list": [{"inf": float("inf")}]}
    assert json.loads(json_lines([row])) == {"day": "2020-01-02", "bytes": "x", "nan": None, "list": [{"inf": None}]}


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    for name, message in (
        ("a.xlsx", "must be .jsonl, .csv, .tsv or .parquet"),
        ("a.jsonl", "exists"),
        ("no/a.jsonl", "no folder"),
    ):
        with pytest.raises(InputError, match=message):
            check_output(str(tmp_path / name))
