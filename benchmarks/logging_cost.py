"""What watching a run costs: our callbacks and loggers, against the same training without them.

    python -m benchmarks.logging_cost --sizes tiny mini --json FILE

Both sides train the same model on the same batch with Lightning in one process, in turn; figures are medians over the
rounds of the time a step. Our side has `Progress`, `Throughput`, `FiniteLoss` and the loggers of the row, and writes a
row every 50 steps. `cost_of_a_row` is how much longer the steps with a row are than the others of the same side: with
50 steps between two rows its share is known far better than the ratio.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from benchmarks.machine import print_rows, write_rows
from benchmarks.shapes import SHAPES, shape
from benchmarks.train_step import Case
from cloze.batch import PretrainingBatch
from cloze.callbacks.finite import FiniteLoss
from cloze.callbacks.length import Length
from cloze.callbacks.progress import Progress
from cloze.callbacks.throughput import Throughput
from cloze.config.hardware import Hardware
from cloze.config.sections import Training
from cloze.launch.trainer import make_trainer
from cloze.loggers import MetricsFile, mlflow_logger, tensorboard_logger, wandb_logger
from cloze.loggers.protocol import RunInfo, dashboards
from cloze.optim.schedules import Linear
from cloze.runtime.allocator import keep_large_buffers
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.training import Recipe

LOG_EVERY = 50
WARM_UP = 10  # steps
LOGGERS = {
    "csv": (),
    "csv and wandb": ("wandb",),
    "csv and tensorboard": ("tensorboard",),
    "csv and mlflow": ("mlflow",),
    "all four": ("wandb", "tensorboard", "mlflow"),
}
MILLISECONDS = 1000


class Clock(pl.Callback):
    """When each step began."""

    def __init__(self) -> None:
        self.begins: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.begins.append(time.perf_counter())

    def steps(self) -> list[float]:
        """Seconds of each step after the warm-up, with what comes between it and the next."""
        pairs = list(zip(self.begins[:-1], self.begins[1:], strict=True))
        return [end - begin for begin, end in pairs][WARM_UP:]


def loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """The file and the dashboards, opened."""
    makers: dict[str, Callable[[], Logger]] = {
        "wandb": lambda: wandb_logger(folder=str(folder), offline=True),
        "tensorboard": lambda: tensorboard_logger(folder=str(folder)),
        "mlflow": lambda: mlflow_logger(folder=str(folder), address=f"sqlite:///{folder}/mlflow.db"),
    }
    found: list[Logger] = [MetricsFile(folder / "metrics.csv"), *(makers[name]() for name in names)]
    for dashboard in dashboards(found):
        dashboard.begin(RunInfo({}, {}), 0)
    return found


def train(
    size: str, work: PretrainingBatch, steps: int, callbacks: Sequence[pl.Callback], found: list[Logger]
) -> Clock:
    """Train anew from the same weights."""
    torch.manual_seed(0)
    clock, total = Clock(), WARM_UP + steps + 1
    recipe = Recipe(
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-4, fused=True),
        schedule=Linear(warmup_ratio=0.1),
        length=total,
        log_every=LOG_EVERY,
    )
    module = MaskedLMPretraining(shape=shape(size), recipe=recipe)
    training = Training(max_steps=total, log_every=LOG_EVERY)
    trainer = make_trainer(training, Hardware(), callbacks=[clock, Length(steps=total), *callbacks], loggers=found)
    trainer.limit_val_batches = 0
    trainer.fit(module, DataLoader([work] * total, batch_size=None))  # type: ignore[arg-type]
    return clock


def measure(size: str, name: str, rounds: int, steps: int) -> dict[str, Any]:
    """One row: the time of a step with and without."""
    work = Case("bert", "mini", "full", 0.15).batch()
    sides: dict[str, list[float]] = {"bare": [], "watched": []}
    row_costs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            found = loggers(LOGGERS[name], Path(folder) / str(number))
            for side in ("bare", "watched") if number % 2 else ("watched", "bare"):
                watched = side == "watched"
                callbacks = [Progress(), Throughput(), FiniteLoss()] if watched else []
                seconds = train(size, work, steps, callbacks, found if watched else []).steps()
                sides[side].append(sum(seconds) / len(seconds))
                if watched:
                    logged = seconds[LOG_EVERY - WARM_UP - 1 :: LOG_EVERY]
                    row_costs.append(statistics.median(logged) - statistics.median(seconds))
            for dashboard in dashboards(found):
                dashboard.end(failed=False)
    ours, peer = (MILLISECONDS * statistics.median(sides[side]) for side in ("watched", "bare"))
    cost = MILLISECONDS * statistics.median(row_costs)
    return {
        "what": f"a step of {size}, {name}",
        "unit": "ms",
        "ours": ours,
        "peer": peer,
        "peer_name": "without callbacks and loggers",
        "ratio": ours / peer,
        "ms_a_row": cost,
        "share_of_rows": cost / LOG_EVERY / peer,
        "rounds": rounds,
    }


def main() -> None:
    """Measure each size with each set of loggers, print a line and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["tiny", "mini"])
    parser.add_argument("--loggers", nargs="+", choices=LOGGERS, default=list(LOGGERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="timed steps of each side in a round")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    keep_large_buffers()
    rows = []
    for size in arguments.sizes:
        for name in arguments.loggers:
            rows.append(measure(size, name, arguments.rounds, arguments.steps))
            print_rows(rows[-1:])
            if arguments.json:
                write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
