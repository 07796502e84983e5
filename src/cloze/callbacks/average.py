"""An average of the weights of many steps, kept and evaluated next to the last ones.

Lightning's ``WeightAveraging`` evaluates and exports the average in place of the last weights, saves it as the state of
the module, and copies whole modules, also those whose parameters are sharded; this one adds to what there is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from cloze.callbacks.export import write_model
from cloze.callbacks.length import Length
from cloze.model.sharding import cut_like, local, whole

AVERAGE = "average"
"""In a checkpoint, of the average and of how it is made."""


class AverageState(NamedTuple):
    """What a checkpoint holds of it.

    Attributes:
        kind: of the average.
        start: the share of training at which it began.
        entered: how many weights have.
        weights: fp32, whole, by the names of the model's parameters; none before it has begun.
    """

    kind: str
    start: float
    entered: int
    weights: Mapping[str, Tensor]


class WeightAverage(pl.Callback):
    """Keeps an average of a model's weights in fp32, on their device and sharded as they are: one more copy of them.

    At each evaluation the average is evaluated on the same held-out batches, as ``val_average/...``; at the end it
    is written as a model folder. Training continues as without it.

    Args:
        kind: ``uniform``, the mean (SWA, Izmailov et al. 2018, algorithm 1), or ``ema``, w' = decay w' + (1 - decay) w.
        start: the share of training after which it begins, with the weights of that step.
        every: optimizer steps between two weights that enter it; the last ones always do.
        decay: of ``ema``.
        length: of training.
        folder: where the average is written.
    """

    def __init__(self, *, kind: str, start: float, every: int, decay: float, length: Length, folder: Path) -> None:
        self.kind, self.start, self.every, self.decay = kind, start, every, decay
        self.length = length
        self.folder = folder
        self.entered = 0
        self._weights: dict[str, Tensor] = {}  # sharded as the parameters are
        self._loaded: Mapping[str, Tensor] = {}
        self._step = 0
        self._heldout: Tensor | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        weights = whole(self._weights, keep=trainer.is_global_zero)
        state = AverageState(self.kind, self.start, self.entered, weights)
        checkpoint[AVERAGE] = state._asdict()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """An average that was made otherwise is none of this one, which then starts from scratch."""
        if AVERAGE in checkpoint:
            state = AverageState(**checkpoint[AVERAGE])
            if (state.kind, state.start) == (self.kind, self.start):
                self.entered, self._loaded = state.entered, state.weights

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        own: Any = pl_module.model
        for name, parameter in own.named_parameters():
            if name in self._loaded:
                self._weights[name] = cut_like(self._loaded[name], parameter).to(parameter.device, copy=True)
        self._loaded = {}
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            return  # in the middle of an accumulation
        self._step = step = trainer.global_step
        share = self.length.share(step)
        if share < self.start:
            self.entered, self._weights = 0, {}  # of a training that was to be shorter
        elif step % self.every == 0 or share >= 1.0:
            self._add(pl_module.model)

    @torch.no_grad()
    def _add(self, model: Any) -> None:
        self.entered += 1
        share = 1.0 / self.entered if self.kind == "uniform" else 1.0 - self.decay
        for name, parameter in model.named_parameters():
            if self.entered == 1:
                self._weights[name] = parameter.detach().float().clone()
            else:
                local(self._weights[name]).lerp_(local(parameter).float(), share)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._heldout = None

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        if not self._weights or trainer.sanity_checking:
            return
        module: Any = pl_module
        with self._instead(module.model), trainer.precision_plugin.forward_context():
            _loss, sums = module.step(batch)
        self._heldout = sums if self._heldout is None else self._heldout + sums

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._heldout is None:
            return
        module: Any = pl_module
        sums = trainer.strategy.reduce(self._heldout, reduce_op="sum").tolist()
        module.log_dict(module.named(sums, "val_average"))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        own: Any = pl_module.model
        with self._instead(own):
            write_model(trainer, pl_module, self.folder)

    @contextmanager
    def _instead(self, model: Any) -> Iterator[None]:
        """With the average in the place of the weights, in the very same memory: compiled graphs know no other."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: Any) -> None:
        for part in model.modules():
            if isinstance(part, FSDPModule):
                part.reshard()  # an evaluation leaves whole parameters behind
        for name, parameter in model.named_parameters():
            if name in self._weights:
                here, mean = local(parameter), local(self._weights[name])
                now = here.clone()
                here.copy_(mean)
                mean.copy_(now)
