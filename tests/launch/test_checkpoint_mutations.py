"""Checkpoints with a wrong part: found before anything is loaded or written, and the one before them is used."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.command import Command

SHAPE = ["model=tiny", "model.hidden_size=8", "model.intermediate_size=8", "model.num_hidden_layers=1"]
SHORT = [*SHAPE, "trainer.log_every=1", "checkpoint.every_steps=2", "checkpoint.keep_last=9"]
OFTEN = ["objective.max_length=32", "data.batch_tokens=256", "trainer.max_steps=8", "trainer.validate_every=3"]
STOP = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 7}"


def damage(folder: Path, step: int, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change a checkpoint of a run, and its index with it, as a fault of a program would."""
    file = folder / f"checkpoints/step-{step:08d}.ckpt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    index = file.with_name("index.json")
    saves = json.loads(index.read_text(encoding="utf-8"))
    for save in saves:
        if save["step"] == step:
            save |= {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    index.write_text(json.dumps(saves), encoding="utf-8")
    return file


def shorten(content: dict[str, Any]) -> None:
    """Of which a fused kernel would not know."""
    state = content["optimizer_states"][0]["state"]
    state[0]["exp_avg"] = state[0]["exp_avg"][:1].clone()


def forget(content: dict[str, Any]) -> None:
    """The optimizer would start from scratch with some parameters."""
    state = content["optimizer_states"][0]["state"]
    for number in list(state)[3:]:
        del state[number]


def test_the_one_before_a_wrong_one_is_used_in_pretraining(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *SHORT, *OFTEN]
    assert train(*words, "run=whole").returncode == 0
    assert "PowerCut" in train(*words, "run=parts", STOP).stderr
    runs = tmp_path / "runs"
    newest = damage(runs / "parts", 6, shorten)
    before = damage(runs / "parts", 4, forget)
    metrics = (runs / "parts/metrics.csv").read_bytes()

    refused = train(*words, "run=other", f"resume={newest}")
    assert refused.returncode == 2
    last = refused.stderr.splitlines()[-1]
    assert "optimizer_states.0.state.0.exp_avg has shape (1, 8) instead of (24, 8)" in last
    assert not (runs / "other").exists()
    assert (runs / "parts/metrics.csv").read_bytes() == metrics

    shutil.copytree(runs / "parts", tmp_path / "kept")
    done = train(*words, "run=parts")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.endswith("; the one before it is used")]
    for file, line in zip((newest, before), told, strict=True):
        assert line.startswith(f"warning: {file.relative_to(tmp_path)} is damaged, or of another version")
    assert "resuming from runs/parts/checkpoints/step-00000003.ckpt" in done.stderr
    one, other = (load_file(runs / name / "model/model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)

    shutil.rmtree(runs / "parts")
    shutil.copytree(tmp_path / "kept", runs / "parts")
    for step in (2, 3):
        damage(runs / "parts", step, lambda content: content.pop("callbacks"))
    refused = train(*words, "run=parts")
    assert refused.returncode == 2
    assert "and none before it is whole: delete the folder of the run" in refused.stderr.splitlines()[-1]
    assert (runs / "parts/metrics.csv").read_bytes() == metrics


def test_the_one_before_a_wrong_one_is_used_in_fine_tuning(
    finetune: Command, small_table: list[str], tmp_path: Path
) -> None:
    words = [*small_table, *SHORT[-3:], "trainer.patience=5", "trainer.validate_every=3"]
    assert finetune(*words, "run=whole").returncode == 0
    assert "PowerCut" in finetune(*words, "run=parts", STOP).stderr
    runs = tmp_path / "runs"
    damage(runs / "parts", 6, lambda content: content["loops"].pop("fit_loop"))
    damage(runs / "parts", 4, lambda content: content["lr_schedulers"].clear())
    done = finetune(*words, "run=parts")
    assert done.returncode == 0, done.stderr
    assert "loops has no 'fit_loop'" in done.stderr
    assert "lr_schedulers has 0 entries instead of 1" in done.stderr
    one, other = (load_file(runs / name / "model/model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("script", ["train.py", "finetune.py"])
def test_no_wrong_part_passes(
    train: Command, finetune: Command, small_corpus: list[str], small_table: list[str], script: str
) -> None:
    run, words = (train, [*small_corpus, *SHORT, *OFTEN]) if script == "train.py" else (finetune, small_table)
    words = [*words, *SHORT[-3:], *(["trainer.patience=5"] if script == "finetune.py" else [])]
    assert "PowerCut" in run(*words, "run=first", STOP).stderr
    file = "runs/first/checkpoints/step-00000004.ckpt"
    mutations = f"+callbacks.mutations={{_target_: tests.launch.mutations.Mutations, file: {file}}}"
    done = run(*words, "run=second", mutations)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert not [line for line in said if line.startswith("passed: ")]
    assert int(next(line for line in said if line.startswith("tried: ")).split()[1]) > 300
