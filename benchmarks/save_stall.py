"""How long training waits for a checkpoint: written in the background, and written at once.

    python -m benchmarks.save_stall --sizes small base --json FILE

Both sides are ours, `checkpoint.asynchronous=true` and `false`; the model and AdamW's state of each size are on disk at
the end. Besides the wait, writing in the background slows the steps next to it down: `seconds lost a save` is how much
longer eight steps and a save took than eight steps without one, the median of the rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import print_rows, write_rows
from benchmarks.shapes import SHAPES, shape
from benchmarks.train_step import Case
from cloze.callbacks.checkpoints import BackgroundIO
from cloze.checkpoint.saves import CheckpointStore
from cloze.model.bert import BertForPreTraining
from cloze.runtime.allocator import keep_large_buffers
from cloze.tasks.masked_lm import pretraining_losses

STEPS = 8
MILLISECONDS = 1000


class Training:
    """A model that trains and can be saved.

    Args:
        size: of `SHAPES`.
    """

    def __init__(self, size: str) -> None:
        self.work = Case("bert", "mini", "full", 0.15).batch()
        self.model = BertForPreTraining(shape(size)).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.steps = 0

    def step(self) -> None:
        losses = pretraining_losses(self.model, self.work)
        (losses.masked_lm.loss / self.work.global_masked).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1

    def checkpoint(self) -> dict[str, Any]:
        """What Lightning would hand to the disk."""
        return {
            "global_step": self.steps,
            "state_dict": self.model.state_dict(),
            "optimizer_states": [self.optimizer.state_dict()],
        }


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(size: str, rounds: int) -> dict[str, Any]:
    """One row: the median wait of both sides, and what a save costs next to it."""
    training = Training(size)
    training.step()
    waits: dict[bool, list[float]] = {True: [], False: []}
    lost: dict[bool, list[float]] = {True: [], False: []}

    def steps() -> None:
        for _ in range(STEPS):
            training.step()

    for _ in range(rounds):
        for asynchronous in (True, False):
            without = seconds(steps)
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk: /tmp may be memory
                io = BackgroundIO(CheckpointStore(Path(folder)), asynchronous=asynchronous)
                began = time.perf_counter()
                io.save_checkpoint(training.checkpoint(), None)
                waits[asynchronous].append(io.stall)
                steps()
                lost[asynchronous].append(time.perf_counter() - began - without)
                io.wait()
                megabytes = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
                io.teardown()
    ours, peer = (MILLISECONDS * statistics.median(waits[asynchronous]) for asynchronous in (True, False))
    return {
        "what": f"wait for a checkpoint, {size}",
        "unit": "ms",
        "ours": ours,
        "peer": peer,
        "peer_name": "written at once",
        "ratio": peer / ours,
        "megabytes": megabytes,
        "seconds_lost_a_save": statistics.median(lost[True]),
        "seconds_lost_when_written_at_once": statistics.median(lost[False]),
        "seconds_a_step": statistics.median([seconds(training.step) for _ in range(5)]),
        "rounds": rounds,
    }


def main() -> None:
    """Measure each size, print a line and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["tiny", "small", "base"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    keep_large_buffers()
    rows = []
    for size in arguments.sizes:
        rows.append(measure(size, arguments.rounds))
        print_rows(rows[-1:])
    if arguments.json:
        write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
