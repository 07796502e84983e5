"""What has been added up since the last row of the metrics: a part of the state that a checkpoint keeps."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor


class SinceLastRow:
    """Sums over training steps, each row taken once.

    Attributes:
        optimizer: what the last optimizer step has to tell.
    """

    def __init__(self, log_every: int) -> None:
        self.log_every = log_every
        self.optimizer: dict[str, Tensor | float] = {}
        self._sums: Tensor | None = None
        self._logged_step = 0

    def add(self, sums: Tensor) -> None:
        """Of one micro-batch, on its device, without waiting for it."""
        self._sums = sums if self._sums is None else self._sums.to(sums.device) + sums

    def take(self, trainer: pl.Trainer) -> list[float] | None:
        """The sums over all ranks where a row is due; they begin anew."""
        step = trainer.global_step
        # Lightning writes a row at the end, too; without its own sums it would repeat those of the row before.
        due = step % self.log_every == 0 or trainer.should_stop
        if not due or step == self._logged_step or self._sums is None:
            return None
        self._logged_step = step
        sums: list[float] = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        self._sums = None
        return sums

    def state(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Of all ranks together, for any number of them to go on from."""
        sums = None if self._sums is None else trainer.strategy.reduce(self._sums.clone(), reduce_op="sum")
        return {"sums": sums, "optimizer": dict(self.optimizer), "logged_step": self._logged_step}

    def load(self, state: dict[str, Any], trainer: pl.Trainer) -> None:
        """Go on from there."""
        self.optimizer, self._logged_step = state["optimizer"], state["logged_step"]
        self._sums = state["sums"]
        if self._sums is not None and not trainer.is_global_zero:
            self._sums = self._sums * 0


def log_past(trainer: pl.Trainer, row: dict[str, Any]) -> None:
    """Log the row of the last optimizer step before this process: a checkpoint is saved before its step is logged."""
    # In fp32, as Lightning passes on what is logged in training.
    values = {name: torch.as_tensor(value, dtype=torch.float32).item() for name, value in row.items()}
    for logger in trainer.loggers:
        logger.log_metrics(values, step=trainer.global_step - 1)
        logger.save()
