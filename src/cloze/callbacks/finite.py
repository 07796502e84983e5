"""End the run if the loss is not a number, before a checkpoint is saved."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cloze.errors import InputError
from cloze.model.sharding import local


class FiniteLoss(pl.Callback):
    """Stops with the step, the learning rate there, and the last good checkpoint.

    The first bad step is kept on the device and read only every `check_every` micro-batches, so that a GPU need not
    wait for the host; on a CPU every loss is read. All processes read together, or one would leave the others waiting.
    """

    def __init__(self, *, check_every: int = 50) -> None:
        """Be ready for the first step.

        Args:
            check_every: micro-batches between two looks at the losses of a GPU.
        """
        self.check_every = check_every
        self._first_bad: Tensor | None = None  # () int64, the first bad step, or `_NEVER`
        self._rates: dict[int, float] = {}  # learning rate by step, since the last look

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss: Tensor = (outputs["loss"] if isinstance(outputs, dict) else outputs).detach()
        if self._first_bad is None:
            self._first_bad = torch.full((), _NEVER, device=loss.device)
        step = trainer.global_step
        self._first_bad = torch.where(loss.isfinite(), self._first_bad, self._first_bad.clamp(max=step))
        self._rates[step] = trainer.optimizers[0].param_groups[0]["lr"]
        alone_on_cpu = loss.device.type == "cpu" and trainer.world_size == 1
        if alone_on_cpu or (batch_idx + 1) % self.check_every == 0:
            self._stop_if_bad(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_bad(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._stop_if_bad(trainer)
        # A finite loss may still have had an infinite gradient, which the next loss would show.
        finite = torch.stack([local(parameter).isfinite().all() for parameter in pl_module.parameters()]).all()
        if not trainer.strategy.reduce(finite.int(), reduce_op="min"):  # each rank may hold a part of the model
            self._stop(trainer, trainer.global_step)

    def _stop_if_bad(self, trainer: pl.Trainer) -> None:
        if self._first_bad is None:
            return
        first = int(-trainer.strategy.reduce(-self._first_bad, reduce_op="max"))  # the earliest of all processes
        if first < _NEVER:
            self._stop(trainer, first)
        self._rates.clear()

    def _stop(self, trainer: pl.Trainer, step: int) -> None:
        rate = self._rates.get(step, trainer.optimizers[0].param_groups[0]["lr"])
        last = getattr(trainer.checkpoint_callback, "last_model_path", "")
        good = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
        raise InputError(
            f"the loss is not finite any more at step {step}, with the learning rate at {rate:.3g}; {good}; "
            "try a lower optimizer.lr, a longer warm-up or trainer.gradient_clip=1.0"
        )


_NEVER = 2**62
