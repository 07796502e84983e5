"""Metrics accumulated since the last row; part of the state in a checkpoint."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor


class MetricAccumulator:
    """Sums over training steps, each row taken once.

    Attributes:
        optimizer: what the last optimizer step has to tell.
        tokens: that training had seen at the last row, over all ranks and all resumed runs.
    """

    def __init__(self, log_every: int) -> None:
        self.log_every = log_every
        self.optimizer: dict[str, Tensor | float] = {}
        self.tokens = 0
        self._sums: Tensor | None = None
        self._own_tokens = 0  # of this rank, since the last row
        self._logged_step = 0

    def add(self, sums: Tensor, tokens: int) -> None:
        """Of one micro-batch, on its device, without waiting for it."""
        self._sums = sums if self._sums is None else self._sums.to(sums.device) + sums
        self._own_tokens += tokens

    def own(self) -> list[float]:
        """The sums of this rank, which stay."""
        return [] if self._sums is None else self._sums.tolist()

    def due(self, step: int) -> bool:
        """Whether a row comes after this many optimizer steps."""
        return step % self.log_every == 0

    def seen(self, trainer: pl.Trainer) -> dict[str, float | Tensor]:
        """The tokens and epochs that training has seen by now; asked of all ranks together."""
        own = torch.tensor(self._own_tokens, dtype=torch.float64, device=trainer.strategy.root_device)
        return _seen(self.tokens + int(trainer.strategy.reduce(own, reduce_op="sum")), trainer)

    def seen_at_row(self, trainer: pl.Trainer) -> dict[str, float | Tensor]:
        """The same as of the last row, which all ranks know."""
        return _seen(self.tokens, trainer)

    def take(self, trainer: pl.Trainer) -> list[float] | None:
        """The sums over all ranks where a row is due; they start from scratch."""
        step = trainer.global_step
        # Lightning writes a row at the end, too; without its own sums it would repeat those of the row before.
        due = self.due(step) or trainer.should_stop
        if not due or step == self._logged_step or self._sums is None:
            return None
        self._logged_step = step
        own = torch.cat([self._sums, self._sums.new_tensor([self._own_tokens])])
        *sums, tokens = trainer.strategy.reduce(own, reduce_op="sum").tolist()
        self.tokens += int(tokens)
        self._sums, self._own_tokens = None, 0
        return sums

    def state(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Of all ranks together, for any number of them to resume from."""
        sums = None if self._sums is None else trainer.strategy.reduce(self._sums.clone(), reduce_op="sum")
        tokens = int(self.seen(trainer)["data/tokens"])
        return {"sums": sums, "tokens": tokens, "optimizer": dict(self.optimizer), "logged_step": self._logged_step}

    def load(self, state: dict[str, Any], trainer: pl.Trainer) -> None:
        """Resume from there."""
        self.optimizer, self._logged_step = state["optimizer"], state["logged_step"]
        self.tokens = state["tokens"]
        self._sums = state["sums"]
        if self._sums is not None and not trainer.is_global_zero:
            self._sums = self._sums * 0


def _seen(tokens: int, trainer: pl.Trainer) -> dict[str, float | Tensor]:
    """Counts in fp64: in fp32, in which Lightning keeps plain numbers, they end at 16 million."""
    found: dict[str, float | Tensor] = {"data/tokens": torch.tensor(float(tokens), dtype=torch.float64)}
    if of_epoch := getattr(getattr(trainer, "datamodule", None), "tokens_in_epoch", 0):
        found["data/epochs"] = tokens / of_epoch
    return found


def log_past(trainer: pl.Trainer, row: dict[str, Any]) -> None:
    """Log the row of the last optimizer step before this process: a checkpoint is saved before its step is logged."""
    # Plain numbers in fp32, as Lightning passes on what is logged in training.
    values = {
        name: torch.as_tensor(value, dtype=getattr(value, "dtype", torch.float32)).item() for name, value in row.items()
    }
    for logger in trainer.loggers:
        logger.log_metrics(values, step=trainer.global_step - 1)
        logger.save()
