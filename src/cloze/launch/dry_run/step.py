"""Run and measure a real step."""

import math
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from cloze.callbacks.step_seed import StepSeed
from cloze.config.hardware import Hardware
from cloze.config.sections import Training
from cloze.errors import InputError
from cloze.launch.trainer import make_trainer
from cloze.tasks.training import TrainingModule

PATIENCE = 30.0
"""Seconds of a first step after which no second one is made: its compilation is then a small part of it."""


class Tried(NamedTuple):
    """What a step on one micro-batch took.

    Attributes:
        loss: the mean over this micro-batch.
        first: seconds of the first step, with all that is compiled or set up in it.
        compute: seconds of the forward and the backward pass, of the last step.
        update: seconds of clipping and of the optimizer, of the last step.
        optimizer_bytes: of the optimizer's state.
        peak_bytes: on a GPU the most that tensors took, else the most that this process had, libraries included.
    """

    loss: float
    first: float
    compute: float
    update: float
    optimizer_bytes: int
    peak_bytes: int


def try_step(module: TrainingModule, batch: Any, training: Training, hardware: Hardware, *, seed: int) -> Tried:
    """Two steps on a micro-batch, the second timed; only one if a step takes long.

    Raises:
        InputError: the loss is not finite.
    """
    watch = _Watch()
    trainer = make_trainer(training, hardware, [StepSeed(seed), watch])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")
        trainer.fit(module, train_dataloaders=_Repeated(batch))
    if not math.isfinite(watch.loss):
        raise InputError(f"the loss of the first step is {watch.loss}: look at the data and the model")
    states = (state for optimizer in trainer.optimizers for state in _tensors(optimizer.state_dict()))
    return Tried(
        loss=watch.loss,
        first=watch.seconds[0],
        compute=watch.compute,
        update=watch.seconds[-1] - watch.compute,
        optimizer_bytes=sum(tensor.nbytes for tensor in states),
        peak_bytes=_peak(hardware),
    )


class _Repeated:
    """A loader of one batch, twice; of a plain list Lightning would make several loaders."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        return iter([self.batch, self.batch])


class _Watch(pl.Callback):
    """Times the steps, and ends training after them."""

    def __init__(self) -> None:
        self.loss = math.nan
        self.seconds: list[float] = []
        self.compute = 0.0
        self._began = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        self._began = self._now()

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.compute = self._now() - self._began

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.seconds.append(self._now() - self._began)
        if len(self.seconds) == 1:
            assert isinstance(pl_module, TrainingModule)
            # Not what the step has returned: that is its part of a global batch, whose counts it carries.
            self.loss = float(pl_module.row(pl_module.since_last_row.own())["train/loss"])
        if len(self.seconds) == 2 or self.seconds[0] > PATIENCE:
            trainer.should_stop = True

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()


def _tensors(state: Any) -> list[Tensor]:
    """All in any nesting of containers."""
    if isinstance(state, Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for value in inner for tensor in _tensors(value)]


def _peak(hardware: Hardware) -> int:
    if hardware.on_gpu:
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
