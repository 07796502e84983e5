"""Progress of training: a bar on a terminal, plain lines in a log file."""

import sys
import time
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl

from cloze.callbacks.length import Length
from cloze.runtime.wording import duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

FACTS = {
    "train/loss": "loss {:.3f}",
    "val_average/loss": "of the average, held out {:.3f}",
    "speed/tokens_per_second": "{:,.0f} tokens/s",
}
"""Metrics that the line of progress has."""


class Progress(pl.Callback):
    """Step, loss, real tokens a second and time left; on rank zero only.

    Args:
        every_seconds: between two lines when stderr is no terminal.
    """

    length: Length

    def __init__(self, *, every_seconds: float = 10.0) -> None:
        self.every_seconds = every_seconds
        self._bar: Bar | None = None
        self._printed = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer, "training")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._printed = time.monotonic()
        self.length = next(callback for callback in trainer.callbacks if isinstance(callback, Length))  # type: ignore[attr-defined]
        if self._bar is not None:  # numba compiles on a machine's first run, torch.compile on every one
            share = self.length.share(trainer.global_step)
            self._bar.update(self._bar.task_ids[0], completed=share, facts="the first step, with what it compiles")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        if self._bar is not None:
            share = self.length.share(trainer.global_step)
            self._bar.update(self._bar.task_ids[0], completed=share, facts=self._facts(trainer))
        elif time.monotonic() - self._printed >= self.every_seconds or trainer.should_stop:
            self._printed = time.monotonic()
            print(self._facts(trainer), file=sys.stderr, flush=True)

    def on_validation_batch_end(self, trainer: pl.Trainer, _module: Any, _outputs: Any, _batch: Any, *at: int) -> None:
        counts = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._tell_part(trainer, "evaluating", counts, *at)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._printed = time.monotonic()
        self._start(trainer, "predicting")

    def on_predict_batch_end(self, trainer: pl.Trainer, _module: Any, _outputs: Any, _batch: Any, *at: int) -> None:
        self._tell_part(trainer, "predicting", trainer.num_predict_batches, *at, bar=True)

    def on_predict_end(self, *_: Any) -> None:
        self._stop()

    def on_train_end(self, *_: Any) -> None:
        self._stop()

    def on_exception(self, *_: Any) -> None:
        self._stop()

    def _start(self, trainer: pl.Trainer, what: str) -> None:
        if trainer.is_global_zero and sys.stderr.isatty():
            self._bar = _terminal_bar()
            self._bar.start()
            self._bar.add_task(what, total=1.0, facts="")

    def _tell_part(
        self,
        trainer: pl.Trainer,
        what: str,
        counts: list[int | float],
        batch: int,
        loader: int = 0,
        *,
        bar: bool = False,
    ) -> None:
        """How far an evaluation or a prediction is, of the split at hand; with `bar`, the bar says so, too."""
        if not trainer.is_global_zero:
            return
        of_several = f" split {loader + 1} of {len(counts)}," if len(counts) > 1 else ""
        facts = f"{what}:{of_several} batch {batch + 1} of {counts[loader]}"
        if self._bar is not None:
            share = (batch + 1) / max(1, counts[loader]) if bar else None  # None leaves it as it is
            self._bar.update(self._bar.task_ids[0], facts=facts, completed=share)
        elif time.monotonic() - self._printed >= self.every_seconds:
            self._printed = time.monotonic()
            print(facts, file=sys.stderr, flush=True)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _facts(self, trainer: pl.Trainer) -> str:
        steps = f"/{self.length.steps}" if self.length.steps else ""
        facts = [f"step {trainer.global_step}{steps}"]
        metrics = trainer.callback_metrics  # as of the last logged step: reading them does not wait for the device
        facts += [template.format(float(metrics[name])) for name, template in FACTS.items() if name in metrics]
        if (left := self.length.seconds_left(trainer.global_step)) is not None:
            facts.append(f"{duration(left)} left")
        return "  ".join(facts)


def _terminal_bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[facts]}")
    stdout = sys.stdout.isatty()  # else what is for a file would go to the terminal
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4, redirect_stdout=stdout)
