"""Examples from tables."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloze.data.finetuning.tables import ChoiceTables, TextTables
from cloze.data.tables.examples import ChoiceExample, TextExample
from cloze.errors import InputError


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def labels(source: TextTables, split: str = "train") -> list[object]:
    return [example.label for example in source.read(split)]


def test_columns_by_name_and_by_position(tmp_path: Path) -> None:
    named = write(tmp_path / "a.csv", "label,b,a\n1,second,first\n")
    plain = write(tmp_path / "b.csv", "1,second,first\n")
    expected = TextExample(id="0", where=f"{named}, line 2", text="first", text_pair="second", label="1")
    assert TextTables(train=named, text="a", text_pair="b", label="label").read("train") == [expected]
    (found,) = TextTables(train=plain, text=2, text_pair=1, label=0).read("train")
    assert (found.where, found.text, found.text_pair, found.label) == (f"{plain}, line 1", "first", "second", "1")
    assert len(TextTables(train=named, text=2, label=0, header=True).read("train")) == 1


def test_splits_are_those_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nx,1\n")
    source = TextTables(train=path, dev={"matched": path, "mismatched": path}, text="text", label="label")
    assert source.splits == ["train", "dev_matched", "dev_mismatched"]
    assert source.read("dev_mismatched")[0].text == "x"


def test_a_test_file_may_have_other_columns_and_no_labels(tmp_path: Path) -> None:
    train = write(tmp_path / "a.tsv", "s\t1\t\tGood one.\n")
    test = write(tmp_path / "b.tsv", "index\tsentence\n7\tNo label.\n")
    source = TextTables(train=train, test=test, text=3, label=1, test_columns={"id": "index", "text": "sentence"})
    assert labels(source) == ["1"]
    (found,) = source.read("test")
    assert (found.id, found.text, found.label) == ("7", "No label.", None)
    narrow = write(tmp_path / "c.tsv", "only\ttwo\n")
    assert labels(TextTables(test=narrow, text=0, text_pair=1, label=2), "test") == [None]
    partly = write(tmp_path / "d.csv", "text,label\nx,\ny,1\n")
    assert labels(TextTables(test=partly, text="text", label="label"), "test") == [None, "1"]


def test_an_empty_second_text_is_none_and_an_empty_text_keeps_its_row_in_prediction(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,label\nx,,1\ny,z,0\n")
    source = TextTables(train=path, text="a", text_pair="b", label="label")
    assert [(e.text, e.text_pair) for e in source.read("train")] == [("x", None), ("y", "z")]
    path = write(tmp_path / "b.csv", "a,b\nx,\n,z\n , \n")
    source = TextTables(test=path, train=path, text="a", text_pair="b", label="label")
    assert [(e.id, e.text, e.text_pair) for e in source.read("test")] == [
        ("0", "x", None),
        ("1", "", "z"),
        ("2", "", None),
    ]


def test_the_kinds_of_labels(tmp_path: Path) -> None:
    score = write(tmp_path / "a.csv", "text,y\nx,2.5\n")
    assert labels(TextTables(train=score, text="text", label="y", problem="regression")) == [2.5]
    several = write(tmp_path / "b.csv", 'text,y\nx,"b, a,b"\ny,\n')
    assert labels(TextTables(train=several, text="text", label="y", problem="multi_label")) == [("b", "a"), ()]
    columns = write(tmp_path / "c.csv", "text,rude,angry\nx,0,1\ny,1,1\n")
    source = TextTables(train=columns, text="text", label=["rude", "angry"], problem="multi_label")
    assert labels(source) == [("angry",), ("rude", "angry")]
    lists = [{"text": "x", "y": ["a", 3]}, {"text": "y", "y": []}]
    path = write(tmp_path / "d.jsonl", "\n".join(map(json.dumps, lists)))
    assert labels(TextTables(train=path, text="text", label="y", problem="multi_label")) == [("a", "3"), ()]
    pq.write_table(pa.table({"text": ["x", "y"], "y": [1.0, 0.0]}), tmp_path / "e.parquet")
    assert labels(TextTables(train=str(tmp_path / "e.parquet"), text="text", label="y")) == ["1", "0"]


def test_several_scores_and_probabilities_of_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,joy,fear\nx,.25,0.75\ny,1,0\nz,0.584,0.417\n")
    scores = TextTables(train=path, test=path, text="text", label=["fear", "joy"], problem="regression")
    assert labels(scores)[:2] == [{"fear": 0.75, "joy": 0.25}, {"fear": 0.0, "joy": 1.0}]
    assert list(labels(scores)[0]) == ["fear", "joy"]  # type: ignore[call-overload]
    soft = TextTables(train=path, text=0, label=[1, 2], header=True)
    assert labels(soft)[0] == {"joy": 0.25, "fear": 0.75}
    assert sum(labels(soft)[2].values()) == pytest.approx(1, abs=1e-12)  # type: ignore[attr-defined]
    alone = TextTables(train=path, text="text", label=["joy"], problem="regression")
    assert labels(alone) == [0.25, 1.0, 0.584]
    path = write(tmp_path / "b.csv", "text,joy,fear\nx,,\ny,1,0\n")
    assert labels(TextTables(test=path, text="text", label=["joy", "fear"]), "test") == [
        None,
        {"joy": 1.0, "fear": 0.0},
    ]


@pytest.mark.parametrize(
    ("row", "problem", "message"),
    [
        (
            "1,1",
            "single_label",
            r"its probabilities of the classes \(joy 1, fear 1\) must be above 0 and have the sum 1",
        ),
        ("-0.5,1.5", "single_label", "must be above 0 and have the sum 1; for several scores take task=regression"),
        ("3,1", "single_label", r"joy 3, fear 1"),
        ("0.5,", "single_label", "its score is '', but must be a number"),
        ("0.5,x", "regression", "its score is 'x', but must be a number"),
        (",", "regression", "has no label in the column 'joy'"),
    ],
)
def test_numbers_that_are_none(tmp_path: Path, row: str, problem: Any, message: str) -> None:
    path = write(tmp_path / "a.csv", f"text,joy,fear\nx,{row}\n")
    with pytest.raises(InputError, match=f"line 2: .*{message}"):
        TextTables(train=path, text="text", label=["joy", "fear"], problem=problem).read("train")


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ("x,1\n ,2", {}, r"a.csv, line 3: has an empty text; fix it, or skip .*task.data.on_bad_row=skip"),
        ("x,\n", {}, "line 2: has no label in the column 'label'"),
        ("x,1\ny", {}, "line 3: has 1 column where the first line has 2"),
        ("x,good\n", {"problem": "regression"}, "line 2: its score is 'good', but must be a number"),
        ("x,nan\n", {"problem": "regression"}, "line 2: its score is 'nan'"),
        ("x,2\n", {"problem": "multi_label", "label": ["label"]}, "holds '2', but must hold 0 or 1"),
        ('x,"1\n', {}, "line 2: its quotes are not those of a CSV file"),
        (
            "x,1",
            {"text": "texts"},
            "has no column 'texts' for task.data.text; did you mean 'text'[?] columns: 'text', 'l",
        ),
        ("x,1", {"label": "zz"}, "has no column 'zz' for task.data.label; columns: 'text', 'label'"),
        ("x,1", {"label": None}, "its labels are needed; set task.data.label"),
        ("x,1", {"label": 5}, "has no column 5 for task.data.label: it has 2, counted from 0"),
        (
            "x,1",
            {"delimiter": ";"},
            "has no column 'text' .*columns: 'text,label'; if , stands between its cells, give 'task.data.delimiter=,'",
        ),
        ("x,1", {"header": False}, "it has no header: give columns by position"),
        ("x,1", {"id": "id"}, "has no column 'id' for task.data.id"),
    ],
)
def test_bad_rows_and_columns(tmp_path: Path, rows: str, settings: Mapping[str, Any], message: str) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + rows)
    with pytest.raises(InputError, match=message):
        TextTables(**{"train": path, "text": "text", "label": "label", **settings}).read("train")


def test_bad_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\tlabel\na\t1\nb\n\t1\nc\t\n\nd\t0\n")
    source = TextTables(train=path, text="text", label="label", on_bad_row="skip")
    assert [(example.id, example.text, example.where[-1]) for example in source.read("train")] == [
        ("0", "a", "2"),
        ("5", "d", "7"),
    ]
    assert source.counts == {
        "rows skipped: too few or too many columns": 1,
        "rows skipped: empty text": 1,
        "rows skipped: no label": 1,
        "rows skipped: blank lines": 1,
    }


SEVERAL = {"problem": "multi_label"}


@pytest.mark.parametrize(
    ("cells", "settings", "told"),
    [
        (
            ["a;b", "b;c", "a"],
            SEVERAL,
            "'a;b' (1 times) is taken as one label; if ';' stands between labels, give 'task",
        ),
        (
            ["a|b", "a|b", "c"],
            SEVERAL,
            "'a|b' (2 times) is taken as one label; if '|' stands .*'task.data.separator=|'",
        ),
        (["a;b", "b;c", "a"], {**SEVERAL, "separator": ";"}, None),
        (['"a, b"', "c"], SEVERAL, None),
        (["a,b", "b,c", "a"], {**SEVERAL, "separator": ";", "delimiter": "\t"}, "'a,b' .*if ',' stands"),
        (["a;b", "b;c", "a"], {}, "give task=multilabel 'task.data.separator=;'"),
        (["R&B; Soul", "Rock", "Pop"], {}, None),
        (["2.5", "3.5"], {"problem": "regression"}, None),
    ],
)
def test_a_sign_that_looks_like_a_separator_is_noted(
    tmp_path: Path, cells: list[str], settings: Mapping[str, Any], told: str | None
) -> None:
    between = settings.get("delimiter", ",")
    path = write(tmp_path / "a.csv", f"text{between}y\n" + "".join(f"x{between}{cell}\n" for cell in cells))
    source = TextTables(**{"train": path, "dev": path, "text": "text", "label": "y", **settings})
    source.read("train")
    source.read("dev")
    assert len(source.notes) == (told is not None)
    assert told is None or re.search(told.replace("|", r"\|").replace("(", r"\(").replace(")", r"\)"), source.notes[0])


@pytest.mark.parametrize("cell", ['["a", "b c"]', "['a', 'b c']", "['a' 'b c']", "['a'\n 'b c']"])
def test_a_list_in_the_words_of_json_pandas_or_numpy(tmp_path: Path, cell: str) -> None:
    pq.write_table(pa.table({"text": ["x", "y", "z"], "y": [cell, "[]", "[a"]}), tmp_path / "e.parquet")
    source = TextTables(train=str(tmp_path / "e.parquet"), text="text", label="y", problem="multi_label")
    assert labels(source) == [("a", "b c"), (), ("[a",)]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,text,label,other,other\nx,y,1,2,3\n")
    with pytest.raises(InputError, match="has several columns of the name 'text'; rename all but one"):
        TextTables(train=path, text="text", label="label").read("train")


def test_an_absent_file_says_where_the_data_set_is_found(tmp_path: Path) -> None:
    source = TextTables(dev={"matched": f"{tmp_path}/none.tsv"}, text=0, homepage="https://x.y")
    with pytest.raises(
        InputError,
        match=r"none.tsv: there is no such file \(the data set is found at https://x.y\); set task.data.dev.m",
    ):
        source.read("dev_matched")
    with pytest.raises(InputError, match=r"is a folder; set task.data.train to a file in it"):
        TextTables(train=str(tmp_path), text=0).read("train")


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"test_columns.txt: expected id, text"):
        TextTables(text=0, test_columns={"txt": 1})
    with pytest.raises(InputError, match="test_columns: names no column for the text"):
        TextTables(text=0, test_columns={"label": 1})
    for label in ([], ["a", "a"]):
        with pytest.raises(InputError, match=r"task.data.label=.*: expected a column, or several different ones"):
            TextTables(text=0, label=label)

    with pytest.raises(InputError, match=r"task.data.separator: is empty"):
        TextTables(text=0, separator="")


@pytest.mark.parametrize(("delimiter", "sign"), [("\\t", "\t"), (";", ";"), ("||", "||"), (" | ", " | ")])
def test_delimiters_as_typed(tmp_path: Path, delimiter: str, sign: str) -> None:
    path = write(tmp_path / "a.txt", f"text{sign}y\nx{sign}1\n")
    assert labels(TextTables(train=path, text="text", label="y", delimiter=delimiter)) == ["1"]


@pytest.mark.parametrize("settings", [{"delimiter": ""}, {"delimiter": "||", "quoting": "quotes"}, {"delimiter": '"'}])
def test_delimiters_that_cannot_be(tmp_path: Path, settings: Mapping[str, Any]) -> None:
    path = write(tmp_path / "a.txt", "text||y\nx||1\n")
    with pytest.raises(InputError, match=r"delimiter=.*: expected auto, or what stands between two cells"):
        TextTables(train=path, text="text", label="y", **settings).read("train")


def test_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "s1,s2,e0,e1,y\nHe sat.,He,stood.,slept.,1\n")
    source = ChoiceTables(train=path, text="s1", prefix="s2", choices=["e0", "e1"], label="y")
    assert source.read("train") == [
        ChoiceExample(id="0", where=f"{path}, line 2", text="He sat.", choices=("He stood.", "He slept."), label=1)
    ]
    unlabelled = write(tmp_path / "b.csv", "s1,e0,e1\nHe,stood.,slept.\n")
    assert ChoiceTables(test=unlabelled, text="s1", choices=["e0", "e1"], label="y").read("test")[0].label is None
    row = {"ctx": "He", "endings": ["stood.", "slept."], "y": 0}
    lists = write(tmp_path / "c.jsonl", json.dumps(row))
    (found,) = ChoiceTables(train=lists, text="ctx", choices="endings", label="y").read("train")
    assert (found.choices, found.label) == (("stood.", "slept."), 0)


def test_choices_of_varying_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "s,e0,e1,e2,e3,y\na,b,c,d,e,3\na,b,c,,,1\na,b,c,d, ,e2\n")
    source = ChoiceTables(train=path, text="s", choices=["e0", "e1", "e2", "e3"], label="y", prefix="e3")
    found = source.read("train")
    assert [(e.choices, e.label) for e in found] == [
        (("e b", "e c", "e d", "e e"), 3), (("b", "c"), 1), (("b", "c", "d"), 2)
    ]  # fmt: skip
    rows = [{"s": "a", "c": ["b", "c", None, ""], "y": 1}, {"s": "a", "c": ["b", "c", "d"], "y": "C"}]
    path = write(tmp_path / "a.json", json.dumps(rows))
    found = ChoiceTables(train=path, text="s", choices="c", label="y").read("train")
    assert [(e.choices, e.label) for e in found] == [(("b", "c"), 1), (("b", "c", "d"), 2)]


@pytest.mark.parametrize(
    "choices",
    [
        {"text": ["b", "c", "d"], "label": ["1", "2", "3"]},
        [{"text": "b", "label": 1}, {"text": "c", "label": 2}, {"text": "d", "label": 3}],
    ],
)
def test_choices_that_have_names(tmp_path: Path, choices: object) -> None:
    path = write(tmp_path / "a.json", json.dumps([{"text": "a", "choices": choices, "answerKey": "3"}]))
    (found,) = ChoiceTables(train=path, text="text", choices="choices", label="answerKey").read("train")
    assert (found.choices, found.label) == (("b", "c", "d"), 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,,d,0", "line 2: its choice 2 is empty, but a later one is not; leave the last ones empty; fix it"),
        ("a,b,,,0", "has 1 choice, but needs two at least"),
        ("a,,,,0", "has no choices, but needs two"),
        ("a,b,c,,2", "its label is '2', but must be 0 to 1"),
        ("a,b,c,,e2", "its label is 'e2', but must be 0 to 1"),
    ],
)
def test_rows_without_their_choice(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "a.csv", f"s,e0,e1,e2,y\n{row}\n")
    with pytest.raises(InputError, match=message):
        ChoiceTables(train=path, text="s", choices=["e0", "e1", "e2"], label="y").read("train")


@pytest.mark.parametrize(
    ("cell", "first", "number"), [("1", 0, 1), ("2", 1, 1), ("B", 0, 1), ("b", 1, 1), ("e1", 0, 1)]
)
def test_labels_of_choices(tmp_path: Path, cell: str, first: int, number: int) -> None:
    path = write(tmp_path / "a.csv", f"s,e0,e1,y\nHe,stood.,slept.,{cell}\n")
    source = ChoiceTables(train=path, text="s", choices=["e0", "e1"], label="y", first_label=first)
    assert source.read("train")[0].label == number


@pytest.mark.parametrize(("cell", "first"), [("2", 0), ("0", 1), ("C", 0), ("-1", 0), ("no", 0)])
def test_labels_of_no_choice(tmp_path: Path, cell: str, first: int) -> None:
    path = write(tmp_path / "a.csv", f"s,e0,e1,y\nHe,stood.,slept.,{cell}\n")
    source = ChoiceTables(train=path, text="s", choices=["e0", "e1"], label="y", first_label=first)
    with pytest.raises(InputError, match=f"line 2: its label is '{cell}', but must be {first} to {first + 1}"):
        source.read("train")
