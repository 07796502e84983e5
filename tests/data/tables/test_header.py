"""Headers of tables whose columns are given by number: none becomes a class or an example."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.finetuning.tables import ChoiceTables, TextTables
from cloze.errors import InputError

FILMS = [f"a film of number {number} that everybody should see once" for number in range(40)]


def write(path: Path, header: str | None, rows: list[str]) -> str:
    path.write_text("\n".join(([] if header is None else [header]) + rows) + "\n", encoding="utf-8")
    return str(path)


def rows_of(labels: list[str]) -> list[str]:
    return [f"{film},{labels[number % len(labels)]}" for number, film in enumerate(FILMS)]


@pytest.mark.parametrize(
    "header", ["sentence,label", "Kommentar (Text),Bewertung", "0,1", "V1,V2", "a,y", '"text","Label"', "review,stars"]
)
@pytest.mark.parametrize("labels", [["good", "bad"], ["0", "1"], ["1.5", "2", "-3"]])
def test_a_header_is_no_example(tmp_path: Path, header: str, labels: list[str]) -> None:
    source = TextTables(train=write(tmp_path / "a.csv", header, rows_of(labels)), text=0, label=1)
    examples = source.read("train")
    assert [example.text for example in examples] == FILMS
    assert {example.label for example in examples} == set(labels)
    assert examples[0].where.endswith("line 2")
    (note,) = source.notes
    assert "was taken as a header; task.data.header=false makes it an example" in note


@pytest.mark.parametrize("labels", [["good", "bad"], ["0", "1"], ["1.5", "2", "-3"], ["a title", "label"]])
def test_a_first_example_is_no_header(tmp_path: Path, labels: list[str]) -> None:
    source = TextTables(train=write(tmp_path / "a.csv", None, rows_of(labels)), text=0, label=1)
    assert [example.text for example in source.read("train")] == FILMS
    assert source.notes == []


@pytest.mark.parametrize(
    ("first", "labels"),
    [
        ("a film like no other and of a rare class,rare", ["good", "bad"]),
        ("a film without a number as its label,fine", ["0", "1"]),
        ("Great film,odd", [f"class {number}" for number in range(40)]),
    ],
)
def test_what_can_be_either_is_refused(tmp_path: Path, first: str, labels: list[str]) -> None:
    path = write(tmp_path / "a.csv", first, rows_of(labels))
    with pytest.raises(InputError, match=r"first line \('.+'\) may be a header .* task.data.header=true or .*=false"):
        TextTables(train=path, text=0, label=1).read("train")
    assert len(TextTables(train=path, text=0, label=1, header=False).read("train")) == 41
    assert len(TextTables(train=path, text=0, label=1, header=True).read("train")) == 40


def test_headers_without_labels_and_with_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "review", FILMS)
    assert len(TextTables(test=path, text=0, label=1).read("test")) == 40
    path = write(tmp_path / "b.csv", "Kommentar", FILMS)
    with pytest.raises(InputError, match="may be a header or an example"):
        TextTables(test=path, text=0).read("test")
    assert len(TextTables(test=write(tmp_path / "c.csv", None, FILMS), text=0).read("test")) == 40
    path = write(tmp_path / "d.csv", "text,rude,angry", [f"{film},0,1" for film in FILMS])
    source = TextTables(train=path, text=0, label=[1, 2], problem="multi_label")
    assert {example.label for example in source.read("train")} == {("angry",)}
    several = [f"{film},{'a;b' if number else 'b;a;c'}" for number, film in enumerate([*FILMS, "c", "c"])]
    several[-1] = "a film,c"
    path = write(tmp_path / "e.csv", None, several)
    source = TextTables(train=path, text=0, label=1, problem="multi_label", separator=";")
    assert len(source.read("train")) == 42


def test_headers_of_choices(tmp_path: Path) -> None:
    choices = [
        f"{film},it ends well after all,it does not end at all,{number % 2}" for number, film in enumerate(FILMS)
    ]
    source = ChoiceTables(
        train=write(tmp_path / "a.csv", "start,e0,e1,right", choices), text=0, choices=[1, 2], label=3
    )
    assert len(source.read("train")) == 40
    source = ChoiceTables(train=write(tmp_path / "b.csv", None, choices), text=0, choices=[1, 2], label=3)
    assert len(source.read("train")) == 40


@pytest.mark.parametrize("header", ["text,label", "sentence,class"])
def test_headers_of_joined_files(tmp_path: Path, header: str) -> None:
    """As `cat a.csv b.csv` leaves them, for columns by name and by number."""
    path = write(tmp_path / "a.csv", header, [*rows_of(["good", "bad"]), header, *rows_of(["good", "bad"])])
    text, label = header.split(",")
    for columns in ({"text": 0, "label": 1}, {"text": text, "label": label}):
        with pytest.raises(InputError, match=r"line 42: repeats the header of the first line; .*on_bad_row=skip"):
            TextTables(train=path, **columns).read("train")
        source = TextTables(train=path, **columns, on_bad_row="skip")
        assert {example.label for example in source.read("train")} == {"good", "bad"}
        assert source.counts == {"rows skipped: repeated headers": 1}


def test_a_number_that_is_the_name_of_another_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",0,1", [f"{number},{film},{number % 2}" for number, film in enumerate(FILMS)])
    with pytest.raises(InputError, match=r"a.csv: 0 is the name of column 1, .* 'task.data.text=\"0\"'"):
        TextTables(train=path, text=0, label=1).read("train")
    examples = TextTables(train=path, text="0", label="1").read("train")
    assert [example.text for example in examples] == FILMS


@given(
    st.lists(st.sampled_from(["spam", "ham", "eggs"]), min_size=12, max_size=30),
    st.text("abcdefgh_", min_size=1, max_size=12),
    st.text("ijklmnop_", min_size=1, max_size=12),
    st.booleans(),
)
def test_no_header_ever_becomes_an_example(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], text: str, label: str, headed: bool
) -> None:
    """Whatever short names it has; and a file without one loses no example. What is unsure is refused."""
    rows = [f"the words of the example with the number {number},{name}" for number, name in enumerate(labels)]
    path = write(tmp_path_factory.mktemp("table") / "a.csv", f"{text},{label}" if headed else None, rows)
    source = TextTables(train=path, text=0, label=1)
    if not headed and labels.count(labels[0]) == 1:  # a class that only the first line has
        with pytest.raises(InputError, match="may be a header"):
            source.read("train")
    else:
        assert [example.label for example in source.read("train")] == labels
