"""A callback that fills the disk, as far as a file of the run is concerned, at a moment of training."""

import resource
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl


class Fail(pl.Callback):
    """Sets a limit on the size of files after the checkpoint of a step is on the disk.

    Args:
        when: which file shall be the first that does not fit: `metrics`, `samples` or `model`; null for none.
        folder: of the run.
    """

    def __init__(self, *, when: str | None = None, folder: str = ".") -> None:
        self.when = when
        self.folder = Path(folder)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.when == "metrics" and trainer.global_step == 2:
            self._limit(trainer, (self.folder / "metrics.csv").stat().st_size)

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.when == "samples":
            self._limit(trainer, 10)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.when == "model":
            self._limit(trainer, 5000)

    def _limit(self, trainer: pl.Trainer, size: int) -> None:
        assert trainer.checkpoint_callback is not None
        trainer.checkpoint_callback.io.wait()  # type: ignore[attr-defined]
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the system then says EFBIG, as it says ENOSPC
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
