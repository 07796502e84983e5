"""A run that is resumed with another configuration: what is asked for holds from the first step, or is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cloze.optim.schedules import Cosine
from tests.command import Command
from tests.launch.test_pretraining import rows

SHORT = [
    *("model=tiny", "model.hidden_size=16", "model.intermediate_size=16", "objective.max_length=32"),
    *("data.batch_tokens=256", "trainer.max_steps=6", "trainer.log_every=1", "trainer.validate_every=100"),
    *("checkpoint.every_steps=2", "checkpoint.keep_last=9"),
]
FROM = "resume=runs/first/checkpoints/step-00000002.ckpt"


def state(folder: Path, step: int) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"checkpoints/step-{step:08d}.ckpt", weights_only=True)
    return found


@pytest.fixture
def first(train: Command, small_corpus: list[str]) -> list[str]:
    """The words of a run of which there are checkpoints."""
    words = [*small_corpus, *SHORT]
    done = train(*words, "run=first")
    assert done.returncode == 0, done.stderr
    return words


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
