"""A process that makes batches is killed in the midst of training."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import processes
from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_run_goes_on(tmp_path: Path, small_corpus: list[str]) -> None:
    words = [*small_corpus, "run=r", "model=tiny", "objective.max_length=32", "data.batch_tokens=256"]
    words += ["hardware.workers=2", "trainer.max_steps=100000", "trainer.validate_every=100000"]
    words += ["checkpoint.every_steps=5", "trainer.log_every=5"]
    command = [sys.executable, str(REPOSITORY / "train.py"), *words]
    index = tmp_path / "runs/r/checkpoints/index.json"
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with processes.started(command, cwd=tmp_path, **pipes) as process:
        processes.wait_until(index.exists, process)
        workers = [child for child in psutil.Process(process.pid).children() if "train.py" in " ".join(child.cmdline())]
        os.kill(workers[0].pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert f"error: process {workers[0].pid}, which made batches, has died" in errors
    assert "Traceback" not in errors
    assert index.exists()
