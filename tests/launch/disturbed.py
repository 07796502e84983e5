"""Runs commands one after the other, each on two ranks as torchrun or srun start them, which disturb themselves.

    python -m tests.launch.disturbed STORY

A story is a JSON list of `words` and `launcher`. Everything is imported once; each rank is a fork. What a rank says
goes to `COMMAND.RANK.log`; a line a command tells the exit statuses and the seconds from the first rank's end to the
last one's. Whoever is left long after the first has ended is killed, as a launcher does.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

import cloze.launch.pretraining  # noqa: F401 - so that a fork begins at once
from tests.launch.forked import SECONDS, end, is_over, start
from tests.launch.forked_ranks import environment
from tests.processes import free_port

PATIENCE = 15.0


class Disturb(pl.Callback):
    """Sends signals to its own process.

    Args:
        name: of the signal.
        place: `start` before training begins, `train` at the beginning of a step, `evaluation` after a batch of it.
        step: optimizer steps before it.
        rank: that is hit, or None for all.
        again: send it once more while the checkpoint is saved.
    """

    def __init__(self, *, name: str, place: str, step: int = 0, rank: int | None = None, again: bool = False) -> None:
        self.number = signal.Signals[name]
        self.place, self.step, self.rank, self.again = place, step, rank, again

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._strike(trainer, "start")

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._strike(trainer, "train")

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self._strike(trainer, "evaluation")

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.again and trainer.global_step > self.step:
            os.kill(os.getpid(), self.number)

    def _strike(self, trainer: pl.Trainer, place: str) -> None:
        if place == self.place and trainer.global_step == self.step and self.rank in (None, trainer.global_rank):
            os.kill(os.getpid(), self.number)


def slurm(rank: int, port: int) -> dict[str, str]:
    """What srun tells one of two tasks on one node."""
    return {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "cloze", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
        "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODELIST": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip


def run(number: int, words: list[str], launcher: str) -> tuple[list[int], float]:
    """The exit statuses of both ranks, and the seconds between them."""
    port, children = free_port(), []
    for rank in (0, 1):
        told = slurm(rank, port) if launcher == "slurm" else environment(rank, 2, port, nodes=False)
        os.environ.update(told)
        rank_zero_only.rank = rank  # type: ignore[attr-defined]  # Lightning has read it when it was imported
        streams = [os.dup(descriptor) for descriptor in (1, 2)]
        log = os.open(f"{number}.{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        sys.stdout.flush()
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        children.append(start("train.py", words))
        for descriptor, stream in zip((1, 2), streams, strict=True):
            os.dup2(stream, descriptor)
            os.close(stream)
        os.close(log)
        for name in told:
            del os.environ[name]
    begun = time.monotonic()
    while not any(is_over(child) for child in children):
        if time.monotonic() - begun > SECONDS:
            os.kill(children[0], signal.SIGKILL)
        time.sleep(0.05)
    first = time.monotonic()
    while not all(is_over(child) for child in children):
        if time.monotonic() - first > PATIENCE:
            for child in children:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    return [end(child) for child in children], time.monotonic() - first


def main(story: Path) -> None:
    """Run them all, whatever their status."""
    for number, command in enumerate(json.loads(story.read_text(encoding="utf-8"))):
        print(json.dumps(run(number, **command)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
