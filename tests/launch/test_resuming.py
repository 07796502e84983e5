"""A run that is resumed with another configuration: what is asked for holds from the first step, or is refused."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml

from cloze.optim.schedules import Cosine
from tests import forks
from tests.command import Command
from tests.launch.stories import NO_DROPOUT
from tests.launch.test_pretraining import rows

SHORT = [
    *("model=tiny", "model.hidden_size=16", "model.intermediate_size=16", "objective.max_length=32"),
    *("data.batch_tokens=256", "trainer.max_steps=6", "trainer.log_every=1", "trainer.validate_every=100"),
    *("checkpoint.every_steps=2", "checkpoint.keep_last=9"),
]
FROM = "resume=runs/first/checkpoints/step-00000002.ckpt"


class Used(pl.Callback):
    """Writes what the first step of a process is made with."""

    def __init__(self, *, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        if self.file.exists():
            return
        groups, blocks = trainer.optimizers[0].param_groups, pl_module.model.encoder.blocks  # type: ignore[union-attr]
        settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        rates = [module.rate for module in pl_module.modules() if hasattr(module, "rate")]
        first: Any = blocks[0]  # type: ignore[index]
        used = {
            "settings": settings,
            "clip": trainer.gradient_clip_val,
            "dropout": [*rates, first.attention.dropout_prob],
            "evaluated_every": trainer.val_check_interval / trainer.accumulate_grad_batches,
            "micro_batches": trainer.accumulate_grad_batches,
            "logged_every": trainer.log_every_n_steps,  # type: ignore[attr-defined]
            "tokens": batch.num_tokens,
            "longest": int(batch.packed.cu_seqlens.diff().max()),
            "masked": len(batch.masked_labels) / batch.num_tokens,
            "first_ids": batch.packed.input_ids[:40].tolist(),
        }
        self.file.write_text(json.dumps(used, default=str), encoding="utf-8")


def state(folder: Path, step: int) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"checkpoints/step-{step:08d}.ckpt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def finished(small_corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the run `first` was made."""
    folder = tmp_path_factory.mktemp("finished")
    done = forks.run("train.py", *small_corpus, *SHORT, "run=first", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def first(finished: Path, small_corpus: list[str], tmp_path: Path) -> list[str]:
    """The words of a run of which there are checkpoints, in a copy of its folder."""
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return [*small_corpus, *SHORT]


def test_optimizer_and_schedule_are_those_of_the_configuration(
    train: Command, first: list[str], tmp_path: Path
) -> None:
    changed = ["optimizer.lr=1e-2", "optimizer.betas=[0.8,0.9]", "optimizer.weight_decay=0.3", "schedule=cosine"]
    done = train(*first, FROM, "run=second", *changed, "schedule.warmup_ratio=0", "trainer.max_steps=4")
    assert done.returncode == 0, done.stderr
    note = next(line for line in done.stderr.splitlines() if line.startswith("note: changed from here on"))
    for change in ("optimizer.lr: was 0.0001, is 0.01", "trainer.max_steps: was 6, is 4", "schedule._target_: was"):
        assert change in note
    assert "folder" not in note
    groups = state(tmp_path / "runs/second", 4)["optimizer_states"][0]["param_groups"]
    assert [group["betas"] for group in groups] == [(0.8, 0.9)] * 3
    assert [group["weight_decay"] for group in groups] == [0.3, 0.3, 0.0]
    rates = {int(row["step"]): float(row["optim/lr"]) for row in rows(tmp_path / "runs/second")}
    cosine = Cosine()  # the row of a step tells the rate that it was made with
    for step in (3, 4):
        assert math.isclose(rates[step], 1e-2 * cosine(step - 1, 4), rel_tol=1e-5)

    # What the optimizer had found out about the gradients is kept, and what it was told is not: resumed from a
    # checkpoint whose settings were changed by hand, the run is the same.
    by_hand = state(tmp_path / "runs/first", 2)
    for group in by_hand["optimizer_states"][0]["param_groups"]:
        group |= {"betas": (0.8, 0.9), "lr": 1e-2 * cosine(2, 4), "initial_lr": 1e-2, "eps": 7.0}
    torch.save(by_hand, tmp_path / "by-hand.ckpt")
    other = train(
        *first, "resume=by-hand.ckpt", "run=third", *changed, "schedule.warmup_ratio=0", "trainer.max_steps=4"
    )
    assert other.returncode == 0, other.stderr
    weights = [state(tmp_path / "runs" / run, 4)["state_dict"] for run in ("first", "second", "third")]
    assert all(torch.equal(weights[1][name], weights[2][name]) for name in weights[1])
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_cannot_hold_is_refused_by_name(train: Command, first: list[str], tmp_path: Path) -> None:
    for change, key in (
        ("optimizer._target_=torch.optim.Adam", "optimizer._target_: was "),
        ("optimizer=lamb", "optimizer._target_: was "),
    ):
        refused = train(*first, FROM, "run=second", change)
        assert refused.returncode == 2
        assert key in refused.stderr.splitlines()[-1]
        assert not (tmp_path / "runs/second").exists()


def test_the_same_run_tells_what_else_its_hardware_is(train: Command, first: list[str], tmp_path: Path) -> None:
    for file in (tmp_path / "runs/first/model").iterdir():
        file.unlink()
    (tmp_path / "runs/first/model").rmdir()
    done = train(*first, "run=first", "hardware.micro_batch_tokens=64")
    assert done.returncode == 0, done.stderr
    assert "note: changed from here on: hardware.micro_batch_tokens: was 4096, is 64" in done.stderr


def test_patience_is_that_of_the_configuration_and_counts_anew(
    finetune: Command, small_table: list[str], tmp_path: Path
) -> None:
    words = [*small_table, "trainer.validate_every=1", "checkpoint.every_steps=2", "checkpoint.keep_last=40"]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 6}"
    still = "optimizer.lr=1e-12"  # no evaluation is better than the first one
    assert "PowerCut" in finetune(*words, "trainer.patience=9", still, "run=first", stop).stderr
    resume = "resume=runs/first/checkpoints/step-00000004.ckpt"
    done = finetune(*words, still, "run=second", resume, "trainer.patience=2")
    assert done.returncode == 0, done.stderr
    evaluated = [int(row["step"]) for row in rows(tmp_path / "runs/second") if row["val/accuracy"]]
    assert evaluated == [4, 5, 6]  # that of step 4 is made up for, and is the first one
    same = finetune(*words, still, "run=third", resume, "trainer.patience=9")
    assert same.returncode == 0, same.stderr
    evaluated = [int(row["step"]) for row in rows(tmp_path / "runs/third") if row["val/accuracy"]]
    assert max(evaluated) == 10  # 1 is the best, and nine are not better


def test_larger_batches_do_not_hang(finetune: Command, small_table: list[str], tmp_path: Path) -> None:
    words = [*small_table, "checkpoint.every_steps=4", "task.batch_size=32"]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 5}"
    assert "PowerCut" in finetune(*words, "run=first", stop).stderr
    resume = "resume=runs/first/checkpoints/step-00000004.ckpt"
    done = finetune(*words, "task.batch_size=80", "run=second", resume)
    assert done.returncode == 0, done.stderr


def test_a_run_from_before_there_were_modules_resumes(train: Command, first: list[str], tmp_path: Path) -> None:
    file = tmp_path / "runs/first/config.yaml"
    before = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name in ("module", "trust"):
        del before[name]
    file.write_text(yaml.safe_dump(before), encoding="utf-8")
    done = train(*first, "run=first")
    assert done.returncode == 0, done.stderr
    assert "is finished" in done.stdout

    checkpoint = state(tmp_path / "runs/first", 2)
    del checkpoint["configuration"]["module"], checkpoint["configuration"]["trust"], checkpoint["task_record"]
    torch.save(checkpoint, tmp_path / "before.ckpt")
    done = train(*first, "resume=before.ckpt", "run=second")
    assert done.returncode == 0, done.stderr
    assert "changed from here on" not in done.stderr
    one, other = (state(tmp_path / "runs" / run, 6)["state_dict"] for run in ("first", "second"))
    assert all(torch.equal(one[name], other[name]) for name in one)


SETTINGS = ["optimizer.betas=[0.8,0.95]", "optimizer.eps=0.125", "optimizer.weight_decay=0.25"]
OPTIMIZERS = {
    **dict.fromkeys(("adamw", "lamb", "stableadamw"), SETTINGS),
    "muon": [*(f"+{word}" for word in SETTINGS), "+optimizer.momentum=0.5"],
}
CHANGES = [
    *("schedule=inverse_square_root", "schedule.warmup_ratio=0", "schedule.warmup_steps=9", "trainer.max_steps=5"),
    *("trainer.gradient_clip=0.5", "trainer.validate_every=2", "trainer.log_every=3", "objective.mask_rate=0.4"),
    *("objective.max_length=16", "data.batch_tokens=128", "model.hidden_dropout_prob=0.3", "seed=5"),
    *("model.attention_probs_dropout_prob=0.4", "hardware.micro_batch_tokens=64"),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_first_resumed_step_is_made_with_every_key(
    train: Command, small_corpus: list[str], tmp_path: Path, optimizer: str
) -> None:
    words = [*small_corpus, *SHORT, f"optimizer={optimizer}", "trainer.max_steps=2"]
    rate = "+optimizer.lr" if optimizer == "muon" else "optimizer.lr"
    assert train(*words, "run=first", f"{rate}=0.5").returncode == 0
    keys = [word for word in CHANGES if optimizer == "adamw" or word.startswith(("schedule", "trainer.max_steps"))]
    used = "+callbacks.used={_target_: tests.launch.test_resuming.Used, file: used.json}"
    done = train(*words, FROM, "run=second", f"{rate}=0.25", *OPTIMIZERS[optimizer], *keys, used)
    assert done.returncode == 0, done.stderr
    told = done.stderr.split("changed from here on: ")[1]
    for word in (*OPTIMIZERS[optimizer], *keys):
        key = word.lstrip("+").partition("=")[0]
        assert key in told or "and 2 more" in told
    found = json.loads((tmp_path / "used.json").read_text())
    for group in found["settings"]:
        hidden = optimizer == "muon" and group["hidden"]
        assert group["lr"] == pytest.approx(0.25 * 3 / 10)  # the third step of nine of the warm-up
        assert group["weight_decay"] in (0.25, 0.0)
        assert group["momentum"] == 0.5 if hidden else (group["betas"], group["eps"]) == ([0.8, 0.95], 0.125)
    assert {group["weight_decay"] for group in found["settings"]} == {0.25, 0.0}
    if optimizer != "adamw":
        return
    assert {key: found[key] for key in ("clip", "evaluated_every", "logged_every")} == {
        "clip": 0.5, "evaluated_every": 2, "logged_every": 3,
    }  # fmt: skip
    assert {*found["dropout"]} == {0.3, 0.4}
    assert found["micro_batches"] >= 2
    assert found["tokens"] <= 64 + 16
    assert found["longest"] <= 16
    assert found["masked"] == pytest.approx(0.4, abs=0.1)


def test_a_seed_is_that_of_the_first_resumed_step(train: Command, first: list[str], tmp_path: Path) -> None:
    ids = []
    for run, seed in (("same", 1), ("other", 2)):
        used = f"+callbacks.used={{_target_: tests.launch.test_resuming.Used, file: {run}.json}}"
        done = train(*first, FROM, f"run={run}", f"seed={seed}", used, "trainer.max_steps=3")
        assert done.returncode == 0, done.stderr
        ids.append(json.loads((tmp_path / f"{run}.json").read_text())["first_ids"])
    assert ids[0] != ids[1]


def test_a_branch_of_a_run_that_began_with_a_model_resumes_alone(
    train: Command, small_corpus: list[str], first: list[str], tmp_path: Path
) -> None:
    words = [word for word in first if not word.startswith(("tokenizer.", "model"))]
    words += ["init=runs/first/model", "corpus.prepared=continued"]
    stem = train(*words, "run=stem")
    assert stem.returncode == 0, stem.stderr
    resume = "resume=runs/stem/checkpoints/step-00000004.ckpt"
    refused = train(*words, "run=second", resume, "model.num_hidden_layers=3")
    assert refused.returncode == 2
    assert "model.num_hidden_layers is 3, but the run that is resumed began with 2" in refused.stderr
    used = "+callbacks.used={_target_: tests.launch.test_resuming.Used, file: used.json}"
    words += ["run=second", "model.hidden_dropout_prob=0.3", "trainer.max_steps=8", "checkpoint.every_steps=1"]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 7}"
    assert "PowerCut" in train(*words, resume, used, stop).stderr
    assert 0.3 in json.loads((tmp_path / "used.json").read_text())["dropout"]
    (tmp_path / "runs/stem").rename(tmp_path / "runs/gone")
    done = train(*words, resume)
    assert done.returncode == 0, done.stderr
    assert "resuming from runs/second/checkpoints/step-00000006.ckpt" in done.stderr


def test_a_run_that_was_made_longer_twice_is_as_one_that_was_long(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *SHORT, *NO_DROPOUT]
    words += ["schedule=warmup_stable_decay", "schedule.decay_ratio=0", "schedule.warmup_ratio=0"]
    cut = "hardware.micro_batch_tokens=128"  # more micro-batches than before
    for number, (steps, more) in enumerate(((2, []), (4, [cut]), (6, []))):
        last = [f"resume=runs/{number - 1}/checkpoints/step-{steps - 2:08d}.ckpt"] if number else []
        done = train(*words, *last, *more, f"trainer.max_steps={steps}", f"run={number}")
        assert done.returncode == 0, done.stderr
    assert train(*words, "trainer.max_steps=6", "run=whole").returncode == 0
    longer, whole = (state(tmp_path / "runs" / run, 6)["state_dict"] for run in ("2", "whole"))
    assert all(torch.allclose(tensor, longer[name], atol=1e-5) for name, tensor in whole.items())
