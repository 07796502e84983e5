"""How long our training and its evaluation took, from inside the trainer."""

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl


class Clock(pl.Callback):
    """Writes `{"train_seconds", "evaluate_seconds"}`: from the first batch's fetch to the last step; the evaluation.

    Reading, tokenising and checkpoints are outside, as on the other side.
    """

    def __init__(self, *, file: str) -> None:
        self.file = Path(file)
        self.seconds = {"train_seconds": 0.0, "evaluate_seconds": 0.0}
        self._began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds["train_seconds"] = time.perf_counter() - self._began

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds["evaluate_seconds"] = time.perf_counter() - self._validation_began
        self.file.write_text(json.dumps(self.seconds), encoding="utf-8")
