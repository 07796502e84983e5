"""Evaluate the initial model before training starts."""

import math

import lightning.pytorch as pl


class Before(pl.Callback):
    """Prints the loss on held-out text before the first step; the trainer's sanity check must run over all of it."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/masked_lm_loss")
        if trainer.is_global_zero and loss is not None:
            print(f"before training: loss {loss:.3f} (perplexity {math.exp(loss):,.1f}) on held-out text", flush=True)
