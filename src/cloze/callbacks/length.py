"""The length of training and the current position, in optimizer steps or seconds."""

import time
from typing import Any

import lightning.pytorch as pl


class Length(pl.Callback):
    """Ends training at its length, with a last evaluation and checkpoint, and tells the schedule the position.

    Lightning's own `max_steps` and `max_time` end without a last look at the held-out split.

    Args:
        steps: optimizer steps, or None.
        seconds: wall-clock seconds of training and evaluation together, over all resumed runs, or None.
    """

    def __init__(self, *, steps: int | None = None, seconds: float | None = None) -> None:
        if (steps is None) == (seconds is None):
            raise ValueError("a length is either in steps or in seconds")
        self.steps = steps
        self.seconds = seconds
        self.elapsed = 0.0
        self._began = time.monotonic()
        self._process_began = self._began
        self._share_before = 0.0  # of training that was over when this process began

    @property
    def total(self) -> float:
        """The length, in steps or in seconds."""
        return float(self.steps if self.steps is not None else self.seconds or 0.0)

    def position(self, step: int) -> float:
        """Where training stands after `step` optimizer steps, in the unit of `total`."""
        return float(step) if self.steps is not None else self.elapsed

    def log_every(self, wanted: int) -> int:
        """Optimizer steps between two rows of the metrics: ten rows of a training that is shorter than one."""
        return wanted if self.steps is None or self.steps >= wanted else max(1, self.steps // 10)

    def share(self, step: int) -> float:
        """How much of training is over, from 0 to 1."""
        return min(1.0, self.position(step) / self.total)

    def seconds_left(self, step: int) -> float | None:
        """At the pace of this process so far, evaluations and checkpoints among it; None before its first step."""
        done = self.share(step) - self._share_before
        if done <= 0.0:
            return None
        return (time.monotonic() - self._process_began) * (1.0 - self.share(step)) / done

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic() - self.elapsed
        self._process_began = time.monotonic()
        self._share_before = self.share(trainer.global_step)
        if self.position(trainer.global_step) >= self.total:
            trainer.should_stop = True  # stopped after its last step: only its end is to come

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.seconds is not None:
            # One clock for all: ranks that stop at different steps wait for each other for ever.
            self.elapsed = trainer.strategy.broadcast(time.monotonic() - self._began)
        if self.position(trainer.global_step) >= self.total:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.elapsed = state_dict["elapsed"]
