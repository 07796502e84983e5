"""An architecture of the user's own, one file in a package next to the repository, goes through every command."""

import csv
import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import forks, processes
from tests.launch.stories import command, play

HERE = Path(__file__).parent / "own_architecture"
TRUST = "trust=toy_encoder"
"""What reads a model folder needs the architecture registered: the command imports the package."""
SMALL = [
    *("--config-dir", "conf", "model=toy", "model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"),
    *("objective.max_length=32", "data.batch_tokens=512", "trainer.max_steps=4", "trainer.validate_every=2"),
    *("checkpoint.every_steps=2", "hardware.workers=0"),
]


class World:
    """A folder with the package and `model=toy`, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package, conf = folder / "package", folder / "conf/model"
        package.mkdir()
        conf.mkdir(parents=True)
        shutil.copy(HERE / "toy_encoder.py", package)
        shutil.copy(HERE / "toy.yaml", conf)
        self._environment = {"PYTHONPATH": os.pathsep.join([forks.SURROUNDINGS["PYTHONPATH"], str(package)])}

    def run(self, *words: str) -> str:
        """What a command prints, in a fork."""
        done = forks.run(*words, cwd=self.folder, env=self._environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *words: str) -> str:
        """What a command prints in a process of its own, which has imported nothing before the package."""
        environment = {**os.environ, **forks.SURROUNDINGS, **self._environment}
        words = (sys.executable, "-m", f"cloze.cli.{name}", *words)
        return str(processes.run(words, cwd=self.folder, env=environment, check=True).stdout)

    def on_two_ranks(self, *words: str) -> None:
        """A command as torchrun starts it."""
        play(self.folder, command(words, ranks=2), statuses=[0], env=self._environment)

    def weights(self, run: str) -> dict[str, torch.Tensor]:
        """Of the model of a run."""
        return dict(load_file(self.folder / "runs" / run / "model/model.safetensors"))

    def heldout_loss(self, run: str) -> float:
        """The last one of a run."""
        with (self.folder / "runs" / run / "metrics.csv").open(encoding="utf-8") as file:
            return float([row["val/loss"] for row in csv.DictReader(file) if row["val/loss"]][-1])


@pytest.fixture(scope="module")
def world(small_corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> World:
    """With a run, `runs/one`, of pre-training."""
    world = World(tmp_path_factory.mktemp("toy"))
    world.start("train", *SMALL, *small_corpus, "run=one")
    return world


def test_pre_training_resumes_and_runs_on_two_processes(world: World, small_corpus: list[str]) -> None:
    settings = json.loads((world.folder / "runs/one/model/config.json").read_text())
    assert (settings["model_type"], settings["architectures"]) == ("toy", ["ToyForPreTraining"])
    one = world.weights("one")
    assert not any("token_type" in name for name in one)
    assert "parameters" in world.run("train.py", *SMALL, *small_corpus, "run=dry", "--dry-run")

    world.run("train.py", *SMALL, *small_corpus, "run=again", "resume=runs/one/checkpoints/step-00000002.ckpt")
    again = world.weights("again")
    assert all(torch.equal(one[name], again[name]) for name in one)

    started = ["init=runs/one/model", TRUST, "model.max_position_embeddings=96", "optimizer=muon"]
    corpus = [word for word in small_corpus if not word.startswith("tokenizer.")]
    world.run("train.py", *started, *SMALL[5:], *corpus, "run=on")
    assert json.loads((world.folder / "runs/on/model/config.json").read_text())["max_position_embeddings"] == 96
    assert world.weights("on").keys() == one.keys()

    world.on_two_ranks(*SMALL, *small_corpus, "run=ranks")
    assert world.heldout_loss("ranks") == pytest.approx(world.heldout_loss("one"), rel=1e-3)


@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_fine_tuning_and_its_predictions(world: World, task: str) -> None:
    numbers, words = random.Random(0), {"good": "lovely", "bad": "awful"}
    for split, count in (("train", 40), ("dev", 16)):
        rows = [(label, f"the file was {words[label]}") for label in numbers.choices(sorted(words), k=count)]
        spans = task == "token_classification"
        lines = [
            json.dumps({"text": text, "label": [[13, len(text), label]] if spans else label}) for label, text in rows
        ]
        (world.folder / f"{task}-{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = [f"task.data.{split}={task}-{split}.jsonl" for split in ("train", "dev")]
    small = ["trainer.max_steps=2", "task.batch_size=16", "task.max_length=32", "hardware.workers=0"]
    world.run("finetune.py", TRUST, f"task={task}", "model=runs/one/model", *data, *small, f"run={task}")
    world.run("cloze-predict", TRUST, f"model=runs/{task}/model", f"input={task}-dev.jsonl", f"output={task}.jsonl")
    assert len((world.folder / f"{task}.jsonl").read_text().splitlines()) == 16


def test_filling_features_and_conversion(world: World) -> None:
    (world.folder / "masked.jsonl").write_text('{"text": "the quick [MASK] returns"}\n', encoding="utf-8")
    model, given = "model=runs/one/model", "input=masked.jsonl"
    world.run("cloze-predict", TRUST, model, given, "output=filled.jsonl")
    (filled,) = (world.folder / "filled.jsonl").read_text().splitlines()
    assert len(json.loads(filled)["masks"]) == 1
    world.run("cloze-features", TRUST, model, given, "output=features.parquet")
    assert "ToyForPreTraining" in world.start("convert", TRUST, "from=runs/one/model", "to=copy")
    copy = load_file(world.folder / "copy/model.safetensors")
    assert all(torch.equal(copy[name], tensor) for name, tensor in world.weights("one").items())
