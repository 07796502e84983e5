"""A callback that ends its process as a machine does that is switched off."""

import os
import signal

import lightning.pytorch as pl


class Kill(pl.Callback):
    """Kills the process.

    Args:
        after: optimizer steps.
    """

    def __init__(self, *, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == self.after:
            os.kill(os.getpid(), signal.SIGKILL)
