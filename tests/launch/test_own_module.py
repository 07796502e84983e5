"""What a module of the user's own has learned is never predicted as if a stock one had."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloze.checkpoint.pretrained import read_pretrained
from cloze.demo.reader import Reader
from cloze.inference.predictor import Inference
from tests import forks
from tests.command import Command

OWN = "tests.launch.own_tasks."
REFUSED = {
    "module": f"was fine-tuned with {OWN}Reversed, which only its task can predict with",
    "features": f"was fine-tuned with {OWN}OwnFeatures, which only its task can predict with",
}
UNTRUSTED = {
    part: f"{part} asks for the class {OWN}{name} of the package tests, but only classes of cloze are built from a "
    "model folder: where you trust that package, add trust=tests"
    for part, name in (("module", "Reversed"), ("features", "OwnFeatures"))
}
CLASSES = {"module": "Reversed", "features": "OwnFeatures"}


@pytest.mark.parametrize("part", REFUSED)
def test_only_its_own_task_predicts(finetune: Command, small_table: list[str], tmp_path: Path, part: str) -> None:
    mine = f"task.{part}._target_={OWN}{CLASSES[part]}"
    done = finetune(*small_table, mine, "run=own", "trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    model = tmp_path / "runs/own/model"
    test = [f"task.data.test={small_table[2].partition('=')[2]}", f"model={model}", *small_table[:7]]
    assert finetune(*test, mine, "stage=predict", "run=again").returncode == 0
    stock = finetune(*test, "stage=predict", "run=stock")
    assert stock.returncode == 2
    assert f"was fine-tuned with {OWN}{CLASSES[part]}, but task.{part} is cloze." in stock.stderr

    copy = tmp_path / "copy"
    assert forks.run("cloze-convert", f"from={model}", f"to={copy}", cwd=tmp_path).returncode == 0
    for folder in (model, copy):
        assert UNTRUSTED[part] in refusal(folder)
        trusted = predict(folder, "trust=tests.launch")
        assert trusted.returncode == 0, trusted.stderr
        assert json.loads(trusted.stdout)["prediction"] in ("good", "bad")
    pretrained = read_pretrained(model)
    assert UNTRUSTED[part] in Reader(pretrained, Inference(), top_k=1).off["task"]
    assert "task" in Reader(pretrained, Inference(), top_k=1, trust=["tests"]).chosen
    # As it was saved before the arguments were recorded.
    for folder in (model, copy):
        classes = {name: json.loads((folder / "cloze.json").read_text())[name]["class"] for name in CLASSES}
        (folder / "cloze.json").unlink()
        change(folder, lambda settings, own=classes: settings.update(task_classes=own))
        assert REFUSED[part] in refusal(folder, "trust=tests")
    # And before the record: its run still tells; elsewhere nothing does.
    for folder in (model, copy):
        change(folder, lambda settings: settings.pop("task_classes"))
    assert REFUSED[part] in refusal(model)
    assert "was saved before the module that it was fine-tuned with was recorded" in refusal(copy)
    change(copy, lambda settings: settings.update(task_classes={}))
    assert predict(copy).returncode == 0


def test_a_stock_module_predicts_wherever_its_folder_came_from(
    finetune: Command, small_table: list[str], tmp_path: Path
) -> None:
    kept = [*small_table, "checkpoint.every_steps=1", "trainer.max_steps=2"]
    assert finetune(*kept, "run=stock", "task.data.dev=null").returncode == 0
    model = tmp_path / "runs/stock/model"
    said = predict(model).stdout
    assert json.loads(said)["prediction"] in ("good", "bad")
    (model / "cloze.json").unlink()
    assert predict(model).stdout == said
    change(model, lambda settings: settings.update(transformers_version="5.0.0"))
    model.rename(tmp_path / "theirs")
    assert predict(tmp_path / "theirs").stdout == said


def test_another_kind_of_label_is_refused(finetune: Command, small_table: list[str], tmp_path: Path) -> None:
    assert finetune(*small_table, "run=stock", "trainer.max_steps=1").returncode == 0
    model = tmp_path / "runs/stock/model"
    (model / "cloze.json").unlink()
    change(model, lambda settings: settings.update(task_classes={}))
    words = [
        "task=multilabel",
        *small_table[1:5],
        "task.max_length=32",
        f"model={model}",
        "stage=evaluate",
        "run=other",
    ]
    done = finetune(*words, f"task.data.test={small_table[2].partition('=')[2]}")
    assert done.returncode == 2
    assert "was fine-tuned for single_label_classification, but the task multilabel is multi_label" in done.stderr


def test_parameters_that_the_folder_cannot_hold_are_refused_before_training(
    finetune: Command, small_table: list[str], tmp_path: Path
) -> None:
    done = finetune(*small_table, f"task.module._target_={OWN}WithParameters", "run=own")
    assert done.returncode == 2
    assert f"task.module: {OWN}WithParameters has parameters of its own (transitions)" in done.stderr
    assert not (tmp_path / "runs/own/metrics.csv").exists()


def predict(folder: Path, *words: str) -> Any:
    return forks.run("cloze-predict", f"model={folder}", "text=the film was fine", *words, cwd=folder.parent)


def refusal(folder: Path, *words: str) -> str:
    done = predict(folder, *words)
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    return str(done.stderr)


def change(folder: Path, how: Any) -> None:
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    how(settings)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
