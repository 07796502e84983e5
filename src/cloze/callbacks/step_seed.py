"""Make dropout a pure function of the position in training."""

from typing import Any

import lightning.pytorch as pl
import torch

from cloze.data.splitmix import key_of

STREAM = 0x0D20  # of this use of the seed, apart from those of the data


class StepSeed(pl.Callback):
    """Seeds torch's generators for each micro-batch by (seed, optimizer step, micro-batch, rank).

    So a run that resumes from a checkpoint needs no state of a generator, and no evaluation, worker or library that
    draws random numbers in between changes what is learned.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        micro_batch = batch_idx % trainer.accumulate_grad_batches
        place = (trainer.global_step, micro_batch, trainer.global_rank)
        torch.manual_seed(int(key_of(self.seed, STREAM, *place)))
