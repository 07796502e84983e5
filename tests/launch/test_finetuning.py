"""The command itself, on small tables: what it leaves behind, what it refuses, how it goes on."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.command import Command

TINY = ["model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "model.max_position_embeddings=64"]
SHORT = [*TINY, "tokenizer.vocab_size=150", "task.max_length=32", "trainer.log_every=5", "optimizer.lr=3e-3"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train.csv`, `dev.csv` and an unlabelled `new.csv` of reviews whose words tell their stars."""
    numbers = random.Random(1)
    words = {"good": ["fine", "lovely", "great", "superb"], "bad": ["awful", "dull", "poor", "boring"]}
    folder = tmp_path_factory.mktemp("reviews")
    for name, count in (("train", 160), ("dev", 40), ("new", 12)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["review", "stars"] if name != "new" else ["review"])
            for _ in range(count):
                stars = numbers.choice(sorted(words))
                said = [numbers.choice(words[stars]) for _ in range(2)]
                text = f'the film, was {said[0]} and "{said[1]}" {"in the end" * numbers.randrange(2)}'
                writer.writerow([text, stars] if name != "new" else [text])
    return folder


@pytest.fixture
def own_data(reviews: Path) -> list[str]:
    return [
        "task=classification",
        f"task.data.train={reviews}/train.csv",
        f"task.data.dev={reviews}/dev.csv",
        "task.data.text=review",
        "task.data.label=stars",
    ]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        return list(csv.DictReader(lines))


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def results(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def test_from_a_table_to_a_model_that_transformers_takes(
    shell_finetune: Command, finetune: Command, own_data: list[str], reviews: Path, tmp_path: Path
) -> None:
    words = [*own_data, *SHORT, "task.epochs=8", "task.batch_size=8", f"task.data.test={reviews}/new.csv", "run=stars"]
    done = shell_finetune(*words)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "stars"
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "metrics.csv", "results.json", "model", "predictions", "report.html", ".lock"
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert set(results(folder)) == {"dev"}
    assert results(folder)["dev"]["accuracy"] > 0.9
    assert "accuracy" in done.stdout
    assert "model-index" in (folder / "model" / "README.md").read_text("utf-8")
    evaluations = [row["val/accuracy"] for row in rows(folder / "metrics.csv") if row["val/accuracy"]]
    assert len(evaluations) == 8  # one an epoch
    assert results(folder)["dev"]["accuracy"] == pytest.approx(max(map(float, evaluations)), abs=1e-5)

    dev = records(folder / "predictions" / "dev.jsonl")
    assert len(dev) == len(rows(folder / "predictions" / "dev.csv")) == 40
    test = records(folder / "predictions" / "test.jsonl")
    assert len(test) == 12
    assert "label" not in test[0]

    transformers = pytest.importorskip("transformers")
    theirs = transformers.pipeline("text-classification", str(folder / "model"), top_k=None)
    assert theirs.model.config.id2label == {0: "bad", 1: "good"}
    for ours, scores in zip(test, theirs([row["text"] for row in test]), strict=True):
        expected = {score["label"]: score["score"] for score in scores}
        assert ours["probabilities"] == pytest.approx(expected, abs=1e-5)

    # The saved model by itself says the same again.
    model = f"model={folder}/model"
    again = finetune(*own_data, "task.max_length=32", "stage=evaluate", model, "run=again")
    assert again.returncode == 0, again.stderr
    assert results(tmp_path / "runs" / "again") == results(folder)
    predicted = finetune(
        "task=classification",
        "task.data.text=review",
        "task.max_length=32",
        f"task.data.test={reviews}/new.csv",
        "stage=predict",
        model,
        "run=new",
    )
    assert predicted.returncode == 0, predicted.stderr
    assert records(tmp_path / "runs" / "new" / "predictions" / "test.jsonl") == test

    # The same command tells its results, another one with the name is refused.
    told = finetune(*words)
    assert told.returncode == 0
    assert told.stdout == f"runs/stars is finished\n{done.stdout}"
    other = finetune(*own_data, *SHORT, "seed=2", "run=stars")
    assert other.returncode == 2
    assert "runs/stars holds" in other.stderr


class TestStopped:
    """A run that is truncated goes on as if nothing had happened."""

    LONGER = ("trainer.max_steps=14",)

    def test_resumes_to_the_bit(self, finetune: Command, own_data: list[str], tmp_path: Path) -> None:
        words = [*own_data, *SHORT, *self.LONGER, "trainer.validate_every=4"]
        assert finetune(*words, "run=whole").returncode == 0
        crash = ["callbacks.crash._target_=tests.launch.test_pretraining.StopAfter", "callbacks.crash.steps=10"]
        stopped = finetune(*words, *crash, "run=parts")
        assert stopped.returncode == 1
        assert "PowerCutError" in stopped.stderr
        resumed = finetune(*words, "run=parts")
        assert resumed.returncode == 0, resumed.stderr
        assert "resuming from" in resumed.stderr
        whole, parts = (load_file(tmp_path / "runs" / run / "model/model.safetensors") for run in ("whole", "parts"))
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
        assert results(tmp_path / "runs/whole") == results(tmp_path / "runs/parts")


def test_hardware_does_not_change_what_is_learned(finetune: Command, own_data: list[str], tmp_path: Path) -> None:
    calm = ("model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0", "trainer.max_steps=14")
    words = [*own_data, *SHORT, *calm]
    assert finetune(*words, "run=one").returncode == 0
    assert finetune(*words, "hardware.micro_batch_tokens=100", "run=many").returncode == 0
    one, many = (load_file(tmp_path / "runs" / run / "model/model.safetensors") for run in ("one", "many"))
    for name, tensor in one.items():
        torch.testing.assert_close(many[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_training_shorter_than_a_row_has_rows(finetune: Command, own_data: list[str], tmp_path: Path) -> None:
    done = finetune(*own_data, *SHORT, "trainer.log_every=50", "trainer.max_steps=12", "run=short")
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows(tmp_path / "runs/short/metrics.csv") if row["train/loss"]] == [
        str(step) for step in range(1, 13)
    ]


def test_seeds_are_summarised_and_random_weights_compared(
    finetune: Command, own_data: list[str], tmp_path: Path
) -> None:
    first = finetune(*own_data, *SHORT, "trainer.max_steps=10", "run=base")
    assert first.returncode == 0, first.stderr
    model = f"model={tmp_path}/runs/base/model"
    done = finetune(
        *own_data,
        "task.max_length=32",
        "trainer.max_steps=4",
        model,
        "task.compare_random=true",
        "-m",
        "seed=1,2",
        "run=seeds",
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "seeds"
    assert "random weights" in done.stdout
    for seed in ("0", "1"):
        assert set(results(folder / seed / "random_initialisation")) == {"dev"}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert "±" in done.stdout
    assert summary
    assert yaml.safe_load((folder / "1" / "config.yaml").read_text(encoding="utf-8"))["seed"] == 2
    assert "random weights" in (folder / "1" / "report.html").read_text("utf-8")
    assert "<code>seed</code>" in (folder / "comparison.html").read_text("utf-8")


def test_training_stops_early_and_keeps_the_best(finetune: Command, own_data: list[str], tmp_path: Path) -> None:
    words = [*own_data, *SHORT, "trainer.validate_every=2", "trainer.patience=2", "task.epochs=40", "run=early"]
    done = finetune(*words)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "early"
    evaluated = [float(row["val/accuracy"]) for row in rows(folder / "metrics.csv") if row["val/accuracy"]]
    assert len(evaluated) < 100
    assert evaluated[-2:] <= [max(evaluated)] * 2
    assert results(folder)["dev"]["accuracy"] == pytest.approx(max(evaluated), abs=1e-5)


def test_a_frozen_encoder_is_run_once_and_stays_as_it_was(
    finetune: Command, own_data: list[str], reviews: Path, tmp_path: Path
) -> None:
    assert finetune(*own_data, *SHORT, "trainer.max_steps=2", "run=base").returncode == 0
    base = tmp_path / "runs" / "base" / "model"
    words = [*own_data, f"model={base}", "task.max_length=32", "experiment=feature_based", "trainer.max_steps=4"]
    done = finetune(
        *words, "adaptation.layers=weighted_sum,embeddings", "adaptation.lstm_hidden_size=8", "-m", "run=rows"
    )
    assert done.returncode == 0, done.stderr
    assert "embeddings" in done.stdout
    assert len(list((tmp_path / "data" / "features").rglob("layer_00.npy"))) == 2  # train and dev
    first = tmp_path / "runs" / "rows" / "0"
    before, after = (load_file(folder / "model.safetensors") for folder in (base, first / "model"))
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    again = finetune(*own_data, "stage=evaluate", f"model={first}/model", "task.max_length=32", "run=again")
    assert again.returncode == 0, again.stderr
    assert results(tmp_path / "runs" / "again") == results(first)

    told = finetune(*own_data, "stage=evaluate", f"model={first}/model", "task.max_length=32", "run=again")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("runs/again is finished\n")
    assert "accuracy" in told.stdout
    other = finetune(*own_data, "stage=evaluate", f"model={first}/model", "task.max_length=16", "run=again")
    assert other.returncode == 2
    assert "runs/again holds a run already" in other.stderr
