"""All that the commands write has the mode that the user's umask gives."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloze.cli import convert, features, finetune, predict, prepare, report, train

SHAPE = ["model=tiny", "model.hidden_size=16", "model.intermediate_size=16", "model.max_position_embeddings=64"]
SHORT = ["trainer.max_steps=4", "trainer.log_every=1", "hardware.threads=1"]
CORPUS = ["corpus=text", "tokenizer.vocab_size=120", "preparation.workers=1", "preparation.heldout_fraction=0.1"]
LOGGERS = "logger=[csv,tensorboard]"
FROM = "model=runs/pre/model"
TASK = [
    "task=classification",
    "task.data.train=train.csv",
    "task.data.dev=train.csv",
    "task.data.test=train.csv",
    "task.max_length=32",
]
COMMANDS: list[tuple[Callable[[], int], list[str]]] = [
    (prepare.main, [*CORPUS, "corpus.files=text.txt", "preparation.duplicates=remove", "corpus.prepared=named"]),
    (train.main, [*CORPUS, "corpus.files=text.txt", *SHAPE, *SHORT, LOGGERS, "run=pre", "checkpoint.every_steps=1",
                  "objective.max_length=32", "data.batch_tokens=256", "trainer.validate_every=2", "data.cache=cache"]),
    (train.main, [*CORPUS[:1], *CORPUS[2:], "corpus.files=text.txt", *SHORT, "init=runs/pre/model", "run=more",
                  "objective.max_length=32", "data.batch_tokens=256"]),
    (finetune.main, [*TASK, FROM, *SHORT, LOGGERS, "run=task", "checkpoint.every_steps=1"]),
    (finetune.main, [*TASK, FROM, *SHORT, "run=frozen", "adaptation.frozen_layers=all", "adaptation.cache=vectors"]),
    (finetune.main, ["-m", "seed=1,2", *TASK, FROM, *SHORT, "run=seeds"]),
    (finetune.main, [*TASK, "stage=predict", "model=runs/task/model", "run=predicted"]),
    (features.main, [FROM, "input=train.csv", "output=features.parquet"]),
    (features.main, [FROM, "input=train.csv", "output=features.npy", "level=mean", "probe=label"]),
    (features.main, [FROM, "input=train.csv", "output=features.safetensors", "layers=all"]),
    (features.main, [FROM, "input=train.csv", "output=shards/"]),
    (predict.main, ["model=runs/task/model", "input=train.csv", "output=predicted.jsonl"]),
    (predict.main, ["model=runs/task/model", "input=train.csv", "output=predicted.parquet"]),
    (convert.main, ["from=runs/task/model", "to=onnx", "format=onnx"]),
    (convert.main, ["from=runs/pre/model", "to=google", "format=google"]),
    (convert.main, ["from=google", "to=hf", "format=hf"]),
    (report.main, ["runs"]),
]  # fmt: skip


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.slow
def test_files_and_folders_have_the_mode_of_the_umask(
    small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(small_text.read_text())
    Path("train.csv").write_text("text,label\n" + "The file returns,good\nA small list,bad\n" * 8)
    for main, words in COMMANDS:
        monkeypatch.setattr(sys, "argv", [main.__module__, *words])
        assert main() == 0, words
    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*")}
    for name in (
        "runs/pre/model/model.safetensors",
        "onnx/model.onnx",
        "vectors",
        "shards",
        "runs/seeds/1/config.yaml",
    ):
        assert name in found
    wrong = {name: oct(stat.S_IMODE(path.stat().st_mode)) for name, path in found.items() if not follows(path, umask)}
    assert not wrong


def follows(path: Path, umask: int) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask
