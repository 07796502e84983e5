"""The command itself, on a small text: what it leaves behind, what it refuses, how it goes on."""

import csv
import json
from pathlib import Path

import lightning.pytorch as pl
import pytest
import yaml
from safetensors.torch import load_file

from tests.command import Command
from tests.launch.test_killed import learned

SHORT = ["trainer.max_steps=20", "trainer.log_every=5", "trainer.validate_every=10", "data.batch_tokens=1024"]


class PowerCutError(Exception):
    """Stands for a machine that is switched off."""


class StopAfter(pl.Callback):
    """Raises `PowerCutError` in the middle of training."""

    def __init__(self, *, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == self.steps:
            raise PowerCutError


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_one_command_from_text_to_a_model_folder(
    shell_train: Command, train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    result = shell_train(*small_corpus, *SHORT, "run=story", "optimizer.lr=3e-3")
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "runs" / "story"

    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "metrics.csv", "model", "checkpoints", "samples.txt", "report.html", ".lock"
    }  # fmt: skip
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "index.json", "step-00000010.ckpt", "step-00000020.ckpt"
    }  # fmt: skip
    assert {path.name for path in (folder / "model").iterdir()} == {
        "config.json", "cloze.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
        "README.md",
    }  # fmt: skip
    assert "the quick" in (folder / "report.html").read_text("utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}  # Hydra leaves nothing elsewhere

    config = (folder / "config.yaml").read_text(encoding="utf-8")
    assert "# revision: " in config
    assert "torch" in config
    assert yaml.safe_load(config)["optimizer"]["lr"] == 3e-3

    metrics = rows(folder)
    assert [row["step"] for row in metrics] == ["5", "10", "15", "20"]
    assert all(float(row["speed/tokens_per_second"]) > 0 for row in metrics)
    assert [bool(row["val/masked_lm_loss"]) for row in metrics] == [False, True, False, True]
    assert float(metrics[-1]["train/loss"]) < float(metrics[0]["train/loss"])

    assert "loss" in result.stdout
    assert "fill-mask" in result.stdout
    assert "the quick [MASK] returns" in result.stdout
    assert "step 20/20" in result.stderr

    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    again = train(*small_corpus, *SHORT, "run=story", "optimizer.lr=3e-3", "hardware.micro_batch_tokens=999")
    assert again.returncode == 0, again.stderr
    loss = float(metrics[-1]["val/masked_lm_loss"])
    assert again.stdout.startswith(f"runs/story is finished: 20 steps, loss {loss:.3f} on held-out text\n")
    other = train(*small_corpus, *SHORT, "run=story", "optimizer.lr=3e-3", "trainer.max_steps=30")
    assert other.returncode == 2
    assert other.stderr.strip() == (
        "error: runs/story holds a finished run with another configuration (trainer.max_steps: was 20, is 30): choose "
        "another run=NAME, or delete the folder"
    )
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_run_that_stopped_goes_on_to_the_same_weights(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *SHORT]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 13}"

    whole = train(*words, "run=whole")
    assert whole.returncode == 0, whole.stderr
    stopped = train(*words, "run=parts", stop)
    assert "PowerCut" in stopped.stderr
    other = train(*words, "run=parts", "seed=2")
    assert other.returncode == 2
    assert "holds a run with another configuration" in other.stderr
    assert "seed: was 1, is 2" in other.stderr
    rest = train(*words, "run=parts")
    assert rest.returncode == 0, rest.stderr
    assert "resuming from runs/parts/checkpoints/step-00000010.ckpt" in rest.stderr

    runs = tmp_path / "runs"
    expected, found = (load_file(runs / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all((expected[name] == found[name]).all() for name in expected)
    assert learned(runs / "parts") == learned(runs / "whole")

    anew = train(*words, "run=parts", "resume=never")
    assert anew.returncode == 0, anew.stderr
    assert "note: runs/parts holds a run already; this one is runs/parts-2" in anew.stderr
    assert learned(runs / "parts-2") == learned(runs / "whole")


def test_a_loss_that_is_no_number_stops_the_run(train: Command, small_corpus: list[str], tmp_path: Path) -> None:
    result = train(*small_corpus, *SHORT, "run=wild", "optimizer.lr=1e30", "trainer.gradient_clip=null")
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the loss is not finite any more at step ")
    assert "learning rate at" in last
    assert "there is no checkpoint yet" in last
    assert not list((tmp_path / "runs" / "wild").glob("checkpoints/*"))
    assert not (tmp_path / "runs" / "wild" / "model").exists()


def test_a_sweep_numbers_its_runs_and_survives_a_bad_one(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    steps = ["trainer.max_steps=2", "data.batch_tokens=1024"]
    result = train("-m", *small_corpus, *steps, "run=sweep", "model.num_attention_heads=3,4")
    assert result.returncode == 2
    assert "num_attention_heads=3" in result.stderr
    assert not (tmp_path / "runs" / "sweep" / "0" / "model").exists()
    config = json.loads((tmp_path / "runs" / "sweep" / "1" / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["num_attention_heads"] == 4


@pytest.mark.parametrize("length", ["trainer.max_epochs=1", "trainer.max_time=3s"])
def test_other_lengths_of_training(train: Command, small_corpus: list[str], tmp_path: Path, length: str) -> None:
    result = train(*small_corpus, "trainer.max_steps=null", length, "data.batch_tokens=1024", "run=length")
    assert result.returncode == 0, result.stderr
    assert int(rows(tmp_path / "runs" / "length")[-1]["step"]) >= (2 if "epochs" in length else 1)
    assert list((tmp_path / "runs" / "length" / "checkpoints").glob("step-*.ckpt"))
