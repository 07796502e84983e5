"""Real launchers: told to stop at twenty random moments, and ranks that are lost and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil
import pytest

from tests import processes
from tests.conftest import REPOSITORY
from tests.launch.stories import SMALL, checkpoint, same
from tests.launch.test_killed import learned
from tests.launch.test_stopped_ranks import CPU, SHORT
from tests.processes import free_port, wait_until

TRAIN = str(REPOSITORY / "train.py")
NATIVE = ["hardware.devices=2", "hardware.strategy=ddp", "hardware.micro_batch_tokens=128"]
ALL_END = 90
"""Seconds for a step, a save, and the end of two processes on a slow machine."""


Launch = Callable[[str, list[str]], "subprocess.Popen[str]"]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts a command on two ranks, in a group of its own, which ends with the test."""
    with ExitStack() as running:
        yield lambda launcher, words: running.enter_context(launched(tmp_path, launcher, words))


def launched(folder: Path, launcher: str, words: list[str]) -> AbstractContextManager["subprocess.Popen[str]"]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    restarts = ["--max-restarts=3"] if launcher == "elastic" else []
    command = [*torchrun, *restarts, TRAIN, *words, "hardware=torchrun", *CPU]
    if launcher == "native":
        command = [sys.executable, TRAIN, *words, *NATIVE]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}", "OMP_NUM_THREADS": "1"}
    return processes.started(
        command, seconds=1800, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def ranks_of(process: subprocess.Popen[str], launcher: str) -> list[psutil.Process]:
    """The processes that train; under the native launcher the command is one of them."""
    me = psutil.Process(process.pid)
    children = [child for child in me.children() if TRAIN in child.cmdline()]
    return [me, *children] if launcher == "native" else children


def ended(process: subprocess.Popen[str], family: list[psutil.Process]) -> str:
    """What it said; nobody is left."""
    try:
        output = process.communicate(timeout=ALL_END)[0]
    finally:
        time.sleep(1.0)
        left = [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        for one in left:
            one.kill()
    assert not left, output
    return output


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_told_to_stop(small_corpus: list[str], tmp_path: Path, launch: Launch, seed: int) -> None:
    moments, launcher = random.Random(seed), ("native", "torchrun")[seed % 2]
    number, everyone = (signal.SIGTERM, signal.SIGINT)[seed // 2 % 2], seed // 4 % 2 == 0
    starting = seed >= 16
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=100000", "trainer.validate_every=7", "run=told"]
    words += ["checkpoint.every_steps=20", "callbacks.samples.sentences=[]"]
    process = launch(launcher, words)
    if starting:
        wait_until(lambda: ranks_of(process, launcher), process)
        time.sleep(moments.uniform(2.0, 10.0))
    else:
        wait_until((tmp_path / "runs/told/checkpoints/index.json").exists, process, pause=0.1)
        time.sleep(moments.uniform(0.0, 2.0))
    family, ranks = psutil.Process(process.pid).children(recursive=True), ranks_of(process, launcher)
    for rank in ranks if everyone else [moments.choice(ranks)]:
        rank.send_signal(number)
    output = ended(process, family)
    if launcher == "native":
        assert process.returncode == 128 + number, output
        assert "Traceback" not in output
    else:
        assert f"exitcode  : {128 + number}" in output
    if not starting:
        assert output.count("the same command resumes from there") == 1, output


@pytest.mark.long
def test_a_group_with_workers_is_told(small_corpus: list[str], tmp_path: Path, launch: Launch) -> None:
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=100000", "run=told", "hardware.workers=1"]
    process = launch("native", [*words, "checkpoint.every_steps=20"])
    wait_until((tmp_path / "runs/told/checkpoints/index.json").exists, process, pause=0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    output = ended(process, family)
    assert process.returncode == 143, output
    assert "stopped after step" in output


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_started_again_by_torchrun(
    small_corpus: list[str], tmp_path: Path, launch: Launch, rank: int
) -> None:
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=150", "trainer.validate_every=50"]
    words += ["checkpoint.every_steps=5"]
    whole = launch("elastic", [*words, "run=whole"])
    parts = launch("elastic", [*words, "run=parts"])
    wait_until((tmp_path / "runs/parts/checkpoints/index.json").exists, parts, pause=0.1)
    ranks_of(parts, "elastic")[rank].kill()
    outputs = [process.communicate(timeout=300)[0] for process in (whole, parts)]
    assert [whole.returncode, parts.returncode] == [0, 0], outputs
    assert outputs[1].count("resuming from runs/parts/checkpoints/step-") == 1
    runs = tmp_path / "runs"
    assert same(checkpoint(runs / "whole", 150), checkpoint(runs / "parts", 150))
    assert learned(runs / "whole") == learned(runs / "parts")


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_stands_still_ends_the_run(
    small_corpus: list[str], tmp_path: Path, launch: Launch, rank: int
) -> None:
    words = [*small_corpus, *SMALL, *SHORT, "trainer.max_steps=100000", "run=still", "checkpoint.every_steps=20"]
    process = launch("native", [*words, "hardware.collective_timeout=30"])
    wait_until((tmp_path / "runs/still/checkpoints/index.json").exists, process, pause=0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    hit = ranks_of(process, "native")[rank]
    hit.send_signal(signal.SIGSTOP)
    output = ended(process, family)
    assert process.returncode == (75 if rank else -signal.SIGKILL), output
    assert f"rank {rank} (process {hit.pid})" in output
    assert "Traceback" not in output
