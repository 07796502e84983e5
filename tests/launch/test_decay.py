"""Decays of the learning rate that branch off one checkpoint of a run that had it constant."""

from pathlib import Path

import pytest
import torch

from cloze.optim.decay import Decay
from tests.command import Command
from tests.launch.test_pretraining import rows
from tests.launch.test_resuming import SHORT, state

CONSTANT = ["schedule=warmup_stable_decay", "schedule.decay_ratio=0", "schedule.warmup_ratio=0", "trainer.max_steps=4"]
STOP = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 5}"
REFUSED = [
    (["resume=auto"], "schedule=decay decays from the learning rate of a checkpoint: give one as resume=runs/NAME/"),
    (["trainer.max_steps=2"], "begins after 2 steps, with runs/stem/checkpoints/step-00000002.ckpt, but the run ends"),
    (["optimizer.lr=1e-3"], "of which the peak was 0.0001, but optimizer.lr is 0.001: leave it as it was"),
    (["schedule.floor=2"], "floor=2: it must be from 0 to 1"),
]


def given(step: int) -> str:
    return f"resume=runs/stem/checkpoints/step-{step:08d}.ckpt"


def rates(folder: Path) -> dict[int, float]:
    return {int(row["step"]): float(row["optim/lr"]) for row in rows(folder) if row["optim/lr"]}


def same_weights(one: Path, other: Path, step: int) -> bool:
    weights = [state(folder, step)["state_dict"] for folder in (one, other)]
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_branches_decay_from_the_rate_of_their_checkpoint_and_resume_as_themselves(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words, runs = [*small_corpus, *SHORT], tmp_path / "runs"
    done = train(*words, *CONSTANT, "run=stem")
    assert done.returncode == 0, done.stderr
    for wrong, told in REFUSED:
        refused = train(*words, given(2), "schedule=decay", "run=branch", *wrong)
        assert refused.returncode == 2
        assert told in refused.stderr.splitlines()[-1]
        assert not (runs / "branch/checkpoints").exists()

    done = train(*words, given(2), "schedule=decay", "run=whole")
    assert done.returncode == 0, done.stderr
    assert 'schedule._target_: was "cloze.optim.schedules.WarmupStableDecay"' in done.stderr
    expected = {step: 1e-4 * (1 - ((step - 1 - 2) / (6 - 2)) ** 0.5) for step in (3, 4, 5, 6)}
    found = rates(runs / "whole")
    assert {step: found[step] for step in expected} == pytest.approx(expected, rel=1e-5)
    decay = ["schedule=decay", "schedule.shape=linear", "schedule.floor=0.25", "trainer.max_steps=6"]
    assert train(*words, given(4), *decay, "run=linear").returncode == 0
    assert rates(runs / "linear")[6] == pytest.approx(1e-4 * (0.25 + 0.75 / 2), rel=1e-5)

    assert "PowerCut" in train(*words, given(2), "schedule=decay", "run=parts", STOP).stderr
    (runs / "stem/checkpoints/step-00000002.ckpt").unlink()  # as a run does that keeps its newest ones
    done = train(*words, given(2), "schedule=decay", "run=parts")
    assert done.returncode == 0, done.stderr
    assert "resuming from runs/parts/checkpoints/step-00000004.ckpt" in done.stderr
    assert state(runs / "parts", 6)["decay"] == {"step": 2, "seconds": 0.0, "rate": 1.0}
    assert same_weights(runs / "whole", runs / "parts", 6)
    assert rates(runs / "parts")[6] == found[6]
    for resume in ("resume=auto", given(2)):
        assert "is finished" in train(*words, "schedule=decay", "run=parts", resume).stdout
    # From the middle of a decay it continues under another name, too.
    middle = "resume=runs/parts/checkpoints/step-00000004.ckpt"
    assert train(*words, middle, "schedule=decay", "run=moved").returncode == 0
    assert same_weights(runs / "whole", runs / "moved", 6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("1-sqrt", [1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.85355, 0.5, 0.14645, 0]),
    ],
)
def test_shapes_by_hand(shape: str, expected: list[float]) -> None:
    decay = Decay(shape=shape, floor=0.1)  # type: ignore[arg-type]
    found = [decay.after(100, 0.9, position, 140) for position in (100, 110, 120, 130, 140)]
    assert found == pytest.approx([0.1 + 0.8 * share for share in expected], abs=1e-5)
    assert [decay(position, 40) for position in (0, 40, 50)] == pytest.approx([1, 0.1, 0.1])
