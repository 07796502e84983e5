"""A threshold for "no answer" is found in training and used by whoever applies the model."""

import json
import sys
from pathlib import Path

import pytest

from cloze.cli.finetune import main

QUESTIONS = [
    {"question": question, "context": context, "answers": {"text": texts, "answer_start": starts}}
    for question, context, texts, starts in (
        ("who came", "yesterday ann came and left", ["ann"], [10]),
        ("who sang", "bob sang in the garden", ["bob"], [0]),
        ("who slept", "it rained all day", [], []),
    )
]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(
        sys,
        "argv",
        ["finetune.py", "task=question_answering", "task.max_length=32", "task.features.max_question_length=8", *words],
    )
    return main()


def test_the_threshold_of_training_is_that_of_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS * 4), encoding="utf-8")
    data = ["task.data.train=rows.jsonl", "task.data.dev=rows.jsonl", "task.data.no_answer=true"]
    tiny = ["model=tiny", "model.num_hidden_layers=1", "tokenizer.vocab_size=120", "trainer.max_steps=6", "seed=3"]
    assert run(monkeypatch, *data, *tiny, "run=trained") == 0
    trained = json.loads(Path("runs/trained/results.json").read_text(encoding="utf-8"))
    record = json.loads(Path("runs/trained/model/cloze.json").read_text(encoding="utf-8"))
    threshold = trained["dev"]["no_answer_threshold"]
    assert threshold != 0
    assert record["state"] == {"no_answer_threshold": pytest.approx(threshold, abs=1e-6)}

    test = ["task.data.test=rows.jsonl", "task.data.no_answer=true", "stage=evaluate", "model=runs/trained/model"]
    assert run(monkeypatch, *test, "run=applied") == 0
    applied = json.loads(Path("runs/applied/results.json").read_text(encoding="utf-8"))
    assert applied["test"] == pytest.approx(trained["dev"], abs=1e-5)
