"""Evaluate the initial model before training starts."""

from typing import Any

import lightning.pytorch as pl


class Before(pl.Callback):
    """Prints the loss on held-out text before the first step; the trainer's sanity check must run over all of it."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        metrics = module.heldout(trainer.callback_metrics)
        if trainer.is_global_zero and metrics:
            print(f"before training: {module.told(metrics)} on held-out text", flush=True)
