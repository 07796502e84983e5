"""What is kept of the dev set for who tries the model, and what is read of a run that has left one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloze.data.tables.examples import ChoiceExample, Example, QuestionExample, TaggedExample, TextExample
from cloze.report.examples import EXAMPLES, LONGEST, MOST, RunExamples, read_examples, write_examples

OWN: dict[str, Any] = {"id": "1", "where": "dev.tsv, line 1"}
SHAPES: list[tuple[Example, dict[str, Any]]] = [
    (TextExample(**OWN, text="a", label="x"), {"text": "a"}),
    (TextExample(**OWN, text="a", text_pair="b"), {"text": "a", "text_pair": "b"}),
    (TaggedExample(**OWN, words=("the", "cat"), tags=("O", "O")), {"text": "the cat"}),
    (QuestionExample(**OWN, question="q?", context=" c ", answers=()), {"text": "q?", "text_pair": " c "}),
    (ChoiceExample(**OWN, text="a", choices=("b", "c"), label=0), {"text": "a", "choices": ["b", "c"]}),
]


def run(folder: Path, **config: Any) -> Path:
    """The model folder of a run."""
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"folder": "runs/x", **config}), "utf-8")
    return folder / "model"


@pytest.mark.parametrize(("example", "cells"), SHAPES)
def test_every_shape_is_read_as_it_was_written(example: Example, cells: dict[str, Any], tmp_path: Path) -> None:
    model = run(tmp_path / "run")
    write_examples([example], tmp_path / "run")
    assert read_examples(model) == RunExamples("run", [cells], [], [])


def test_some_are_taken_from_all_over_the_split(tmp_path: Path) -> None:
    texts = [TextExample(**OWN, text=f"{number} 😀") for number in range(100)]
    long = TextExample(**OWN, text="x" * LONGEST)
    model = run(tmp_path / "run")
    write_examples([long, *texts], tmp_path / "run")
    found = [cells["text"] for cells in read_examples(model).cells]
    assert len(found) == MOST
    assert found[0] == "0 😀"
    assert int(found[-1].split()[0]) > 80


def test_a_pretrained_run_has_gaps_and_pairs_as_they_were_written(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    model = run(tmp_path / "runs" / "x", data={"folder": "data/c"})
    texts = ["A [MASK], sat. (Cat's)  a 0.10, b 0.05", "Ends [MASK] (here).  a 0.10, b 0.05"]
    (tmp_path / "runs" / "x" / "samples.txt").write_text("step 1\n  " + "\n  ".join(texts) + "\n", "utf-8")
    (tmp_path / "data" / "c").mkdir(parents=True)
    excerpts = {
        "heldout_excerpts": [["One.", "Two.", "Three."], ["Alone."], ["", "After a long one.", "Four.", "Five."]]
    }
    (tmp_path / "data" / "c" / "report.json").write_text(json.dumps(excerpts), "utf-8")
    found = read_examples(model)
    assert found.masked == ["A [MASK], sat.", "Ends [MASK] (here)."]
    assert found.pairs == [("One.", "Two."), ("Four.", "Five.")]
    monkeypatch.chdir("/")  # found from the run, too
    assert read_examples(model).pairs == found.pairs


def test_what_is_not_there_or_of_another_making_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bert-base").mkdir()
    assert read_examples(tmp_path / "bert-base") == RunExamples("bert-base")
    model = run(tmp_path / "run", data=1)
    for text in ("{", "1", '["a", {"text": 1}, {"text": "b"}]'):
        (tmp_path / "run" / EXAMPLES).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / EXAMPLES).write_text(text, "utf-8")
        assert [cells["text"] for cells in read_examples(model).cells] in ([], ["b"])
    (tmp_path / "run" / "config.yaml").write_text("a: [", "utf-8")
    assert read_examples(model).pairs == []
