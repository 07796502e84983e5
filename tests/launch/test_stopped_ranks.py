"""Two ranks are told to stop, lose each other, or come to their limit."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import forks
from tests.launch.stories import SMALL, checkpoint, same
from tests.launch.test_killed import learned

CPU = ["hardware.accelerator=cpu", "hardware.precision=32-true", "hardware.compile=false"]
CPU += ["hardware.static_shapes=false", "hardware.workers=0", "hardware.micro_batch_tokens=128"]
SHORT = ["objective.max_length=32", "data.batch_tokens=256"]  # several batches in an evaluation
KILLED = -signal.SIGKILL


def command(words: list[str], *, launcher: str = "torchrun", **disturb: Any) -> dict[str, Any]:
    """One command of a story, with what `Disturb` shall do."""
    if disturb:
        options = ", ".join(f"{name}: {json.dumps(value)}" for name, value in disturb.items()).replace('"', "")
        words = [*words, f"+callbacks.disturb={{_target_: tests.launch.disturbed.Disturb, {options}}}"]
    return {"words": [*words, f"hardware={launcher}", *CPU], "launcher": launcher}


def play(folder: Path, *commands: dict[str, Any], **variables: str) -> list[tuple[list[int], float]]:
    """The exit statuses of each command, and the seconds between its two ranks' ends."""
    (folder / "story.json").write_text(json.dumps(commands), encoding="utf-8")
    done = forks.run("tests.launch.disturbed", "story.json", cwd=folder, env=variables)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def said(folder: Path, number: int, rank: int = 0) -> str:
    """What a rank of a command said; never a traceback."""
    text = (folder / f"{number}.{rank}.log").read_text(encoding="utf-8")
    assert "Traceback" not in text, text
    return text


@pytest.mark.slow
def test_two_ranks_stop_together_wherever_one_is_told(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=30", "trainer.validate_every=10"]
    parts = [*words, "run=parts"]
    calls = tmp_path / "calls"
    scontrol = tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    scontrol.chmod(0o755)
    ends = play(
        tmp_path,
        command([*words, "run=whole"]),
        command(parts, name="SIGTERM", place="train", step=4, rank=1, again=True),
        command(parts, name="SIGINT", place="evaluation", step=10),
        command(parts, launcher="slurm", name="SIGUSR1", place="train", step=14, rank=0),
        command(parts, launcher="slurm", name="SIGTERM", place="evaluation", step=20, rank=1),
        command(parts),
        PATH=f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    logs = [said(tmp_path, number) + said(tmp_path, number, 1) for number in range(6)]
    assert [statuses for statuses, _ in ends] == [[0, 0], [143, 143], [130, 130], [138, 138], [143, 143], [0, 0]], logs
    for number, step in ((1, 6), (2, 10), (3, 16), (4, 20)):
        assert logs[number].count(f"stopped after step {step}; the same command resumes from there") == 1
    assert calls.read_text() == "requeue 4711\n"
    assert "note: job 4711 is queued again" in logs[3]
    runs = tmp_path / "runs"
    assert sorted(path.name for path in runs.iterdir()) == ["parts", "whole"]
    assert learned(runs / "whole") == learned(runs / "parts")
    assert same(checkpoint(runs / "whole", 30), checkpoint(runs / "parts", 30))
    assert {path.name for path in (runs / "whole").iterdir()} == {path.name for path in (runs / "parts").iterdir()}


@pytest.mark.slow
def test_a_lost_rank_is_told_and_the_limit_of_the_process_is_kept(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=100000", "trainer.validate_every=100000"]
    lost = [*words, "run=lost", "checkpoint.every_steps=2", "hardware.collective_timeout=12"]
    ends = play(
        tmp_path,
        command(lost, name="SIGKILL", place="train", step=6, rank=1),
        command(lost, name="SIGKILL", place="train", step=10, rank=0),
        command(lost, name="SIGSTOP", place="train", step=20, rank=1),
        command([*words, "run=limited", "checkpoint.stop_after=1s"]),
    )
    statuses = [status for status, _ in ends]
    logs = [said(tmp_path, number) + said(tmp_path, number, 1) for number in range(4)]
    assert statuses == [[75, KILLED], [KILLED, 75], [75, KILLED], [75, 75]], logs
    assert "error: another process, with which rank 0 worked, has died; the same command resumes" in logs[0]
    assert "rank 1: error: another process, with which rank 1 worked, has died" in logs[1]
    assert "error: another process has not answered rank 0 for 12 s" in logs[2]
    assert "resuming from runs/lost/checkpoints/step-" in logs[2]
    assert (tmp_path / "runs/lost/checkpoints/index.json").exists()
    assert "before checkpoint.stop_after is over; the same command resumes from there" in logs[3]
    assert list((tmp_path / "runs/limited/checkpoints").glob("step-*.ckpt"))
