"""Stories of tables through the command: what people have in their cells, from the file to the predictions."""

import csv
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cloze.cli import predict
from cloze.metrics.classification import best_thresholds
from tests.command import Command

SMALL = [
    "model=tiny", "model.hidden_size=16", "model.num_hidden_layers=1", "model.num_attention_heads=1",
    "model.intermediate_size=32", "model.max_position_embeddings=32", "tokenizer.vocab_size=100", "task.max_length=32",
    "trainer.max_steps=6", "trainer.log_every=3", "hardware.threads=1",
]  # fmt: skip
EVALUATED = ["stage=evaluate", "task.max_length=32", "hardware.threads=1"]


def write(file: Path, rows: Sequence[Sequence[object]]) -> str:
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows(rows)
    return str(file)


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of texts that name their topics, and of those topics with ; between them."""
    numbers, folder = random.Random(2), tmp_path_factory.mktemp("topics")
    files = {}
    for split, count in (("train", 60), ("dev", 20)):
        found = [sorted(set(numbers.choices("abc", k=numbers.randrange(4)))) for _ in range(count)]
        rows = [(f"of {' and '.join(names)} here", ";".join(names)) for names in found]
        files[split] = write(folder / f"{split}.csv", [("text", "labels"), *rows])
    return files


def test_labels_are_told_before_training_and_a_separator_is_taken_as_typed(
    finetune: Command, topics: dict[str, str]
) -> None:
    words = ["task=multilabel", f"task.data.train={topics['train']}", f"task.data.dev={topics['train']}", *SMALL]
    whole = finetune(*words, "run=whole")
    assert whole.returncode == 0, whole.stderr
    assert "if ';' stands between labels, give 'task.data.separator=;'" in whole.stderr
    assert "\na;b " in whole.stderr
    cut = finetune(*words, f"task.data.dev={topics['dev']}", "run=cut", "task.data.separator=;")
    assert cut.returncode == 0, cut.stderr
    assert "stands between labels" not in cut.stderr
    told = [line.split() for line in cut.stderr.splitlines()]
    assert told[:2] == [["train", "dev"], ["rows", "60", "20"]]
    assert [row[0] for row in told[2:5]] == ["a", "b", "c"]


@pytest.mark.parametrize(("suffix", "choices"), [("csv", "[c0,c1,c2,c3]"), ("jsonl", "choices")])
def test_three_to_five_choices_in_one_file(
    suffix: str, choices: str, shared_cases: Path, finetune: Command, tmp_path: Path
) -> None:
    files = [f"task.data.{split}={shared_cases}/04-choices/{split}.{suffix}" for split in ("train", "dev")]
    done = finetune("task=multiple_choice", *files, f"task.data.choices={choices}", *SMALL, "run=choices")
    assert done.returncode == 0, done.stderr
    assert "choice 3 " in done.stderr
    said = records(tmp_path / "runs/choices/predictions/dev.jsonl")
    numbers = {len(record["choices"]) for record in said}
    assert len(numbers) > 1
    for record in said:
        assert len(record["probabilities"]) == len(record["choices"])
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "runs/choices/model"
    theirs = transformers.AutoModelForMultipleChoice.from_pretrained(folder).eval()
    encode = transformers.AutoTokenizer.from_pretrained(folder)
    for record in said[:10]:
        texts = [record["text"]] * len(record["choices"])
        rows = encode(texts, record["choices"], padding=True, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            (expected,) = theirs(**{name: row[None] for name, row in rows.items()}).logits.softmax(-1).tolist()
        assert list(record["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("task", "ending", "columns"),
    [
        ("regression", "", ["valence", "arousal", "dominance"]),
        ("classification", "_soft", ["positive", "negative", "neutral"]),
    ],
)
def test_several_scores_and_soft_labels(
    task: str, ending: str, columns: list[str], shared_cases: Path, finetune: Command, tmp_path: Path
) -> None:
    files = [f"task.data.{split}={shared_cases}/05-scores/{split}{ending}.csv" for split in ("train", "dev")]
    words = [f"task={task}", *files, f"task.data.label=[{','.join(columns)}]"]
    done = finetune(*words, *SMALL, "run=numbers")
    assert done.returncode == 0, done.stderr
    assert f"{columns[0]} mean" in done.stderr
    folder = tmp_path / "runs/numbers"
    said = records(folder / "predictions/dev.jsonl")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    assert theirs.config.id2label == dict(enumerate(columns))
    assert theirs.config.problem_type == {"regression": "regression"}.get(task, "single_label_classification")
    encode = transformers.AutoTokenizer.from_pretrained(folder / "model")
    rows = encode([r["text"] for r in said], padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**rows).logits
    expected = (logits if task == "regression" else logits.softmax(-1)).tolist()
    for record, numbers in zip(said, expected, strict=True):
        ours = record["prediction" if task == "regression" else "probabilities"]
        assert ours == pytest.approx(dict(zip(columns, numbers, strict=True)), abs=1e-5)
    with (folder / "predictions/dev.csv").open(encoding="utf-8-sig", newline="") as stream:
        cells = list(csv.DictReader(stream))
    name = "prediction" if task == "regression" else "probability"
    assert float(cells[0][f"{name}_{columns[1]}"]) == pytest.approx(expected[0][1], abs=1e-5)
    again = finetune(*words, *EVALUATED, f"model={folder}/model", "run=again")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "runs/again/results.json").read_text() == (folder / "results.json").read_text()


def test_thresholds_are_chosen_on_dev_kept_in_the_folder_and_used(
    finetune: Command, topics: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"task.data.{split}={topics[split]}" for split in ("train", "dev")]
    words = ["task=multilabel", *files, "task.data.separator=;", "task.module.class_weights=balanced"]
    done = finetune(*words, *SMALL, "run=topics")
    assert done.returncode == 0, done.stderr
    folder, model = tmp_path / "runs/topics", f"model={tmp_path}/runs/topics/model"
    scores = json.loads((folder / "results.json").read_text())["dev"]
    assert list(scores) == ["micro_f1", "macro_f1", "accuracy", "auroc", "average_precision"]
    thresholds = json.loads((folder / "model/cloze.json").read_text())["state"]
    assert list(thresholds) == ["threshold:a", "threshold:b", "threshold:c"]
    said = records(folder / "predictions/dev.jsonl")
    right = np.array([[label in record["label"] for label in "abc"] for record in said])
    shown = np.array([[record["probabilities"][label] for label in "abc"] for record in said])
    assert [*thresholds.values()] == pytest.approx(best_thresholds(shown, right).tolist(), abs=1e-6)
    for record in said:
        applies = [label for label in "abc" if record["probabilities"][label] >= thresholds[f"threshold:{label}"]]
        assert record["prediction"] == applies
        assert record["missed"] == [label for label in record["label"] if label not in applies]
        assert record["extra"] == [label for label in applies if label not in record["label"]]
    assert "missed" in (folder / "predictions/dev_errors.md").read_text()

    again = finetune(*words, *EVALUATED, model, "run=again")
    assert json.loads((tmp_path / "runs/again/results.json").read_text())["dev"] == scores, again.stderr
    monkeypatch.chdir(tmp_path)
    for given, output in (([], "said.csv"), (["threshold=[0.99,0.0,0.99]"], "other.tsv")):
        command = ["cloze-predict", model, f"input={topics['dev']}", f"output={output}", "max_length=32", *given]
        monkeypatch.setattr(sys, "argv", [*command, "hardware.threads=1"])
        assert predict.main() == 0
        with (tmp_path / output).open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="," if output.endswith("csv") else "\t"))
        assert [row["labels"] for row in rows] == [";".join(record["label"]) for record in said]
        expected = [["b"]] * len(said) if given else [record["prediction"] for record in said]
        assert [[label for label in "abc" if row[f"prediction_{label}"] == "1"] for row in rows] == expected


def test_a_dev_set_that_cannot_rank_is_told(finetune: Command, tmp_path: Path) -> None:
    rows = [(f"text {number} of {'ab'[number % 2]}", "ab"[number % 2]) for number in range(20)]
    train, dev = write(tmp_path / "t.csv", [("text", "label"), *rows]), tmp_path / "d.csv"
    write(dev, [("text", "label"), *rows[::2]])
    words = ["task=classification", f"task.data.train={train}", f"task.data.dev={dev}", *SMALL]
    done = finetune(*words, "run=one")
    assert done.returncode == 0, done.stderr
    assert "note: dev: auroc and average_precision leave out 'b', which every row has, or none" in done.stderr
    assert list(json.loads((tmp_path / "runs/one/results.json").read_text())["dev"]) == ["accuracy", "macro_f1"]
    refused = finetune(*words, "run=two", "task.module.metrics=[auroc]")
    assert refused.returncode == 2
    assert "task.data.dev: every row, or none, has 'b', so that auroc, by which the best weights" in refused.stderr
    assert not (tmp_path / "runs/two").exists()
