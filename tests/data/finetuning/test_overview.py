"""What is told of a task before it begins."""

from cloze.data.finetuning.overview import overview
from cloze.data.tables.examples import Answer, ChoiceExample, Example, QuestionExample, TaggedExample, TextExample


def texts(*labels: str | float | tuple[str, ...] | None) -> list[TextExample]:
    return [TextExample(id="0", where="x.csv, line 2", text="t", label=label) for label in labels]


def test_rows_of_each_class_in_each_split() -> None:
    splits = {"train": texts(*["good"] * 1200, "rows"), "dev": texts("good", "good", None)}
    assert overview(splits, ["good", "rows"]) == [
        "      train  dev",
        "rows  1,201    3",
        "good  1,200    2",
        "rows      1    0",
    ]


def test_a_row_counts_for_each_of_its_labels() -> None:
    found = overview({"train": texts(("a", "b"), ("b",), ())}, ["a", "b"])
    assert [line.split()[-1] for line in found] == ["train", "3", "1", "2", "1"]
    assert found[-1].startswith("(no label)")


def test_many_labels_are_told_in_few_lines() -> None:
    names = [f"class {number}" for number in range(50)]
    found = overview({"train": texts(*names, *["class 7"] * 5, "long " * 20)}, [*names, "long " * 20])
    assert len(found) == 22
    assert found[2].split() == ["class", "7", "6"]
    assert found[-1].split() == ["32", "other", "labels", "32"]


def test_scores_have_a_range() -> None:
    found = overview({"train": texts(1.0, 2.5, 4.0), "test": texts(None)}, [])
    assert [line.split() for line in found[2:]] == [
        ["lowest", "1"], ["mean", "2.5"], ["highest", "4"]
    ]  # fmt: skip
    several = [TextExample(id="0", where="", text="t", label={"joy": n / 4, "fear": 1 - n / 4}) for n in range(4)]
    found = overview({"train": several}, ["joy", "fear"])
    assert [line.split() for line in found[2:]] == [
        ["joy", "lowest", "0"], ["joy", "mean", "0.375"], ["joy", "highest", "0.75"],
        ["fear", "lowest", "0.25"], ["fear", "mean", "0.625"], ["fear", "highest", "1"],
    ]  # fmt: skip


def test_other_shapes_say_what_they_have() -> None:
    tagged = TaggedExample(id="0", where="", words=("a", "b", "c"), tags=("O", "B-X", "O"))
    answered = QuestionExample(id="0", where="", question="q", context="c", answers=(Answer("c", 0),))
    unanswered = QuestionExample(id="0", where="", question="q", context="c", answers=())
    chosen = ChoiceExample(id="0", where="", text="t", choices=("a", "b"), label=1)
    cases: list[tuple[list[Example], list[str], list[str]]] = [
        ([tagged], ["B-X", "O"], ["B-X", "O"]),
        ([answered, unanswered], [], ["with an answer", "without an answer"]),
        ([chosen], [], ["choice 1"]),
    ]
    for examples, labels, expected in cases:
        lines = overview({"dev": examples}, labels)[2:]
        assert [line.rsplit(maxsplit=1) for line in lines] == [[name, "1"] for name in expected]
