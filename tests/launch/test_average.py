"""An average of the weights of many steps next to the last ones: compared with that of the checkpoints of the steps."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import cloze
from tests.command import Command
from tests.launch.stories import NO_DROPOUT, SMALL, command, play, watch
from tests.launch.test_pretraining import rows
from tests.launch.test_resuming import SHORT, state

STOP = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 5}"
STEPS = [*SHORT, "checkpoint.every_steps=1", "trainer.validate_every=4"]
Weights = dict[str, torch.Tensor]


def by_hand(folder: Path, kind: str, steps: list[int], decay: float = 0.0) -> Weights:
    """The average of the weights in the checkpoints of some steps, in fp64."""
    found: Weights = {}
    for number, step in enumerate(steps, 1):
        share = 1 / number if kind == "uniform" else 1 - decay
        for name, tensor in state(folder, step)["state_dict"].items():
            now = tensor.double()
            found[name] = now if number == 1 else (1 - share) * found[name] + share * now
    return {name.removeprefix("model."): tensor for name, tensor in found.items()}


def close(one: Weights, other: Weights, tolerance: float = 1e-6) -> bool:
    assert one.keys() == other.keys()
    return all(torch.allclose(one[name].double(), other[name].double(), atol=tolerance, rtol=0) for name in one)


def test_the_mean_of_the_last_weights_is_evaluated_saved_and_resumed(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words, runs = [*small_corpus, *STEPS], tmp_path / "runs"
    average = ["average.kind=uniform", "average.start=0.5"]
    plain, whole = train(*words, "run=plain"), train(*words, *average, "run=whole")
    assert (plain.returncode, whole.returncode) == (0, 0), whole.stderr
    assert "of the averaged weights" in whole.stdout
    assert "model_average/" in whole.stdout
    ends = [load_file(runs / run / "model/model.safetensors") for run in ("plain", "whole")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])  # training goes on as without it

    assert state(runs / "whole", 2)["average"] == {"kind": "uniform", "start": 0.5, "entered": 0, "weights": {}}
    kept = state(runs / "whole", 6)["average"]
    assert kept["entered"] == 4
    assert close(kept["weights"], by_hand(runs / "whole", "uniform", [3, 4, 5, 6]))
    written = cloze.load(runs / "whole/model_average").encoder.state_dict()
    assert all(torch.equal(kept["weights"][f"encoder.{name}"], written[name]) for name in written)
    found = {int(row["step"]): row for row in rows(runs / "whole")}
    assert found[4]["val_average/loss"] != found[4]["val/loss"] != ""
    data = [word for word in words if word.startswith(("corpus", "preparation", "sentences", "objective", "data"))]
    evaluated = train(*data, "stage=evaluate", "init=runs/whole/model_average", "run=evaluated")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"{float(found[6]['val_average/masked_lm_loss']):.4f}" in evaluated.stdout

    assert "PowerCut" in train(*words, *average, "run=parts", STOP).stderr
    assert train(*words, *average, "run=parts").returncode == 0
    resumed = state(runs / "parts", 6)["average"]
    assert resumed["entered"] == 4
    assert all(torch.equal(resumed["weights"][name], tensor) for name, tensor in kept["weights"].items())
    assert rows(runs / "parts")[-1]["val_average/loss"] == found[6]["val_average/loss"]

    # Another average begins anew, with the weights of its first step.
    other = ["average.kind=ema", "average.decay=0.5", "average.every=2"]
    done = train(*words, *other, "run=other", "resume=runs/whole/checkpoints/step-00000003.ckpt")
    assert done.returncode == 0, done.stderr
    assert "average.kind: was" in done.stderr
    moving = state(runs / "other", 6)["average"]
    assert (moving["kind"], moving["entered"]) == ("ema", 2)
    assert close(moving["weights"], by_hand(runs / "other", "ema", [4, 6], 0.5))


@pytest.mark.slow
def test_ranks_have_the_same_average(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *SMALL, *NO_DROPOUT, "trainer.max_steps=10", "trainer.validate_every=5"]
    words += ["average.kind=ema", "average.decay=0.8", "hardware.micro_batch_tokens=512"]
    play(
        tmp_path,
        command([*words, "run=one"]),
        command([*words, "run=ddp"], ranks=2),
        command([*words, "run=fsdp", watch(told=[6, 0])], ranks=2, strategy="fsdp"),
        command([*words, "run=fsdp"], ranks=2, strategy="fsdp"),
        statuses=[0, 0, 143, 0],
    )
    runs = tmp_path / "runs"
    one = state(runs / "one", 10)["average"]
    for run in ("ddp", "fsdp"):
        other = state(runs / run, 10)["average"]
        assert other["entered"] == one["entered"] == 10
        assert close(one["weights"], other["weights"], 1e-5)
        losses = [float(rows(runs / name)[-1]["val_average/loss"]) for name in ("one", run)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)
        folders = [load_file(runs / name / "model_average/model.safetensors") for name in ("one", run)]
        assert close(folders[0], folders[1], 1e-5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["average.decay=0.9"], "average.kind is missing: give uniform or ema, or leave average out"),
        (["average.kind=uniform", "average.decay=0.9"], "average.decay is of average.kind=ema: leave it out"),
        (["average.kind=ema", "average.start=1"], "average.start is 1, but must be at least 0 and below 1"),
        (["average.kind=ema", "average.decay=1"], "average.decay is 1, but must be above 0 and below 1"),
        (["average.kind=ema", "average.every=0"], "average.every is 0, but must be above zero"),
    ],
)
def test_what_is_no_average_is_refused(train: Command, words: list[str], told: str) -> None:
    refused = train(*words)
    assert refused.returncode == 2
    assert told in refused.stderr
