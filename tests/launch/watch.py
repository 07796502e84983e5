"""A callback that tests bring along: it notes what training sees, and tells the process to stop."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from cloze.model.sharding import local, whole


class Watch(pl.Callback):
    """Notes the order of the data, the gradients and how parameters are shared out; sends itself SIGTERM.

    Args:
        told: the optimizer step and the micro-batch in it at whose beginning the signal comes, or None.
        rank: that is told.
        order: a file to which every micro-batch adds a line: step, micro-batch, rank, hash of what is in it.
        gradients: a file for those of the first steps, before they are clipped, with the accumulation.
        steps: this many.
        shards: a file for the number of numbers in each parameter and of those on this rank.
    """

    def __init__(
        self,
        *,
        told: list[int] | None = None,
        rank: int = 0,
        order: str | None = None,
        gradients: str | None = None,
        steps: int = 2,
        shards: str | None = None,
    ) -> None:
        self.told, self.rank = told, rank
        self.order, self.gradients, self.shards = order, gradients, shards
        self.steps = steps
        self._seen: list[Any] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.shards is not None:
            sizes = {name: (p.numel(), local(p).numel()) for name, p in pl_module.named_parameters()}
            torch.save(sizes, f"{self.shards}.{trainer.global_rank}")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        place = [trainer.global_step, batch_idx % trainer.accumulate_grad_batches]
        if self.order is not None:
            tensors = [batch.packed.input_ids, batch.packed.position_ids, batch.masked_positions, batch.masked_labels]
            seen = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()
            with Path(f"{self.order}.{trainer.global_rank}").open("a", encoding="utf-8") as file:
                file.write(f"{place} {seen}\n")
        if place == self.told and trainer.global_rank == self.rank:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.gradients is None or trainer.global_step >= self.steps:
            return
        found = {name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None}
        self._seen.append((trainer.accumulate_grad_batches, whole(found, keep=trainer.is_global_zero)))
        if trainer.is_global_zero:
            torch.save(self._seen, self.gradients)
