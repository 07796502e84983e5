"""How long training is, and where it stands: in optimizer steps, or in seconds on the wall clock."""

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

    @property
    def total(self) -> float:
        """The length, in steps or in seconds."""
        return float(self.steps if self.steps is not None else self.seconds or 0.0)

    def position(self, step: int) -> float:
        """Where training stands after `step` optimizer steps, in the unit of `total`."""
        return float(step) if self.steps is not None else self.elapsed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic() - self.elapsed
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
