"""`task.long`: what is shown of texts beyond the model's length, in training and in every prediction after it."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from cloze.cli.predict import main as predict
from tests.command import Command

SMALL = [
    *("task=classification", "model=tiny", "model.hidden_size=32", "model.num_hidden_layers=1"),
    *("model.num_attention_heads=2", "model.intermediate_size=64", "model.max_position_embeddings=64"),
    *(
        "task.max_length=16",
        "tokenizer.vocab_size=120",
        "trainer.max_steps=60",
        "optimizer.lr=1e-2",
        "task.batch_size=16",
    ),
    *("task.data.text=text", "task.data.label=label", "hardware.threads=1"),
]


def write(path: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Texts of 10 to 40 words of which only the last tells the label."""
    numbers = random.Random(seed)
    rows = []
    for _ in range(count):
        label = numbers.choice(["granted", "refused"])
        words = [numbers.choice(["it", "was", "heard", "again"]) for _ in range(numbers.randint(10, 40))]
        rows.append({"text": " ".join([*words, label]), "label": label})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_every_word_counts_and_the_folder_knows_it(
    tmp_path: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "train.jsonl", 160, 1)
    dev = write(tmp_path / "dev.jsonl", 30, 2)
    files = [f"task.data.{name}=" + str(tmp_path / f"{name}.jsonl") for name in ("train", "dev")]
    ran = finetune(*SMALL, *files, "task.long=windows", "run=all")
    assert ran.returncode == 0, ran.stderr
    long = sum(len(row["text"].split()) > 14 for row in dev)
    assert "tokens, in overlapping windows, over which the outputs are averaged (" in ran.stderr
    assert f"{long} in dev)" in ran.stderr
    score = json.loads((tmp_path / "runs/all/results.json").read_text())["dev"]["accuracy"]
    assert score > 0.9
    record = json.loads((tmp_path / "runs/all/model/cloze.json").read_text())
    assert record["features"]["arguments"] == {"long": "windows", "max_length": 16}

    expected = [row["probabilities"] for row in records(tmp_path / "runs/all/predictions/dev.jsonl")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cloze-predict", "model=runs/all/model", "input=dev.jsonl", "hardware.threads=1"])
    assert predict() == 0
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    for ours, theirs in zip(said, expected, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs, abs=1e-5)

    words = ["stage=evaluate", "task=classification", "model=runs/all/model", files[1], "task.data.text=text"]
    again = finetune(*words, "task.max_length=16", "hardware.threads=1", "run=again")
    assert again.returncode == 0, again.stderr
    assert "note: task.long=windows, as the model was trained" in again.stderr
    for row, theirs in zip(records(tmp_path / "runs/again/predictions/dev.jsonl"), expected, strict=True):
        assert row["probabilities"] == pytest.approx(theirs, abs=1e-5)
    cut = finetune(*words, "task.long=truncate", "task.max_length=32", "hardware.threads=1", "run=cut")
    assert cut.returncode == 0, cut.stderr
    assert "the model was trained with task.max_length=16, but here it is 32" in cut.stderr

    record["features"]["arguments"]["long"] = "middle"
    (tmp_path / "runs/all/model/cloze.json").write_text(json.dumps(record))
    assert predict() == 2
    refusal = capfd.readouterr().err
    assert "cloze.json: features.long is 'middle', but must be one of truncate, head_tail, windows" in refusal


@pytest.mark.parametrize("long", ["truncate", "head_tail"])
def test_what_is_cut_is_said_once_with_counts(tmp_path: Path, finetune: Command, long: str) -> None:
    rows = [write(tmp_path / f"{name}.jsonl", count, 3) for name, count in (("train", 40), ("dev", 10))]
    counts = [sum(len(row["text"].split()) > 14 for row in split) for split in rows]
    files = [f"task.data.{name}=" + str(tmp_path / f"{name}.jsonl") for name in ("train", "dev")]
    ran = finetune(*SMALL, *files, f"task.long={long}", "run=cut", "trainer.max_steps=2")
    assert ran.returncode == 0, ran.stderr
    places = f" ({counts[0]} in train, {counts[1]} in dev)"
    notes = [line for line in ran.stderr.splitlines() if "texts truncated to 16 tokens" in line]
    more = "; task.long=head_tail shows their ends, task.long=windows all of them"
    if long == "head_tail":
        places, more = f", of their beginning and of their end{places}", ""
    assert notes == [f"note: {sum(counts)} texts truncated to 16 tokens{places}{more}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=token_classification", "task.long=head_tail"], "sentences and passages are always read in windows"),
        (["task=question_answering", "task.long=truncate"], "sentences and passages are always read in windows"),
        (["task=multiple_choice", "task.long=windows"], "a choice is read in one sequence; task.long=head_tail"),
        (
            ["task=classification", "task.long=all"],
            "task.long is 'all', but must be one of truncate, head_tail, windows",
        ),
        (["task=classification", "task.long=windows", "task.features.long=head_tail"], "leave one of them out"),
        (["task=classification", "task.features.head_share=1"], "task.features.head_share=1: must be from 0"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, finetune: Command, words: list[str], message: str) -> None:
    ran = finetune(*words, "model=tiny", "task.data.train=x.csv", "run=no")
    assert ran.returncode == 2
    assert message in ran.stderr
    assert not (tmp_path / "runs").exists()
