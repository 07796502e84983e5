"""A run that is killed, told to stop, or started twice ends as the one that nobody disturbed."""

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests import forks, processes
from tests.command import Command
from tests.conftest import REPOSITORY

LONG = ["trainer.max_steps=400", "trainer.log_every=5", "trainer.validate_every=40", "data.batch_tokens=512"]
LONG += ["model.hidden_size=32", "model.intermediate_size=64"]


def learned(folder: Path) -> list[dict[str, str]]:
    """The metrics without those of the clock."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [{name: value for name, value in row.items() if not name.startswith("speed/")} for row in rows]


def assert_equal_runs(runs: Path, one: str, other: str) -> None:
    first, second = (load_file(runs / name / "model/model.safetensors") for name in (one, other))
    assert all((first[name] == second[name]).all() for name in first)
    assert learned(runs / one) == learned(runs / other)


@pytest.mark.slow
@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_random_moments(small_corpus: list[str], tmp_path: Path, times: int) -> None:
    words = [*small_corpus, *LONG, "checkpoint.every_steps=10", f"trainer.max_steps={10 * (3 * times + 3)}"]
    done = forks.run("tests.launch.forked", "10", str(times), "train.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(rf"killed {times} times, (\d+) of them with checkpoints on disk", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 0
    assert "resuming from" in done.stderr
    assert_equal_runs(tmp_path / "runs", "whole", "parts")


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a group of its own, once it has taken a step."""
    command = [sys.executable, str(REPOSITORY / "train.py"), *words, "checkpoint.every_steps=1"]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/src"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = next(word.removeprefix("run=") for word in words if word.startswith("run="))
    with processes.started(command, cwd=folder, env=environment, start_new_session=True, **pipes) as process:
        processes.wait_until((folder / "runs" / run / "checkpoints" / "index.json").exists, process)
        yield process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "hardware"),
    [
        pytest.param(signal.SIGTERM, [], id="SIGTERM"),
        pytest.param(signal.SIGINT, [], id="SIGINT"),
        pytest.param(
            signal.SIGTERM,
            ["hardware.devices=2", "hardware.strategy=ddp", "hardware.micro_batch_tokens=256"],
            id="SIGTERM to two ranks",
        ),
    ],
)
def test_told_to_stop(
    train: Command, small_corpus: list[str], tmp_path: Path, number: signal.Signals, hardware: list[str]
) -> None:
    words = [*small_corpus, *LONG, *hardware, "run=told"]
    if number == signal.SIGTERM:
        words.append("trainer.max_steps=150")
    with started(tmp_path, *words) as process:
        if number == signal.SIGINT:
            second = train(*words)
            assert second.returncode == 2
            assert re.search(rf"runs/told: process {process.pid} on \S+ is training there", second.stderr)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, output
    stopped = re.search(r"stopped after step (\d+); the same command resumes from there", output)
    assert stopped is not None, output
    assert "Traceback" not in output
    assert "Error executing" not in output
    assert (tmp_path / f"runs/told/checkpoints/step-{int(stopped[1]):08d}.ckpt").exists()
    if number == signal.SIGTERM and not hardware:
        whole = train(*words, "run=whole")
        assert whole.returncode == 0, whole.stderr
        rest = train(*words)
        assert rest.returncode == 0, rest.stderr
        assert_equal_runs(tmp_path / "runs", "whole", "told")


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *LONG, "run=hurt", "trainer.max_steps=20"]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 13}"
    assert train(*words, "checkpoint.every_steps=5", stop).returncode == 1
    newest = tmp_path / "runs/hurt/checkpoints/step-00000010.ckpt"
    newest.write_bytes(newest.read_bytes()[:-100])
    rest = train(*words)
    assert rest.returncode == 0, rest.stderr
    assert "warning: runs/hurt/checkpoints/step-00000010.ckpt is damaged" in rest.stderr
    assert "resuming from runs/hurt/checkpoints/step-00000005.ckpt" in rest.stderr
