"""The model at each third of the time, from inside our trainer."""

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from cloze.checkpoint.folder import save_pretrained
from cloze.text.tokenizer import load_tokenizer

FACTS = "facts.json"
THIRDS = (1, 2, 3)
SLOWEST = 20
"""One step in so many is left out of the pace: compilation and the first steps are paid for once."""


class Snapshots(pl.Callback):
    """Writes the model folders ``folder/1`` to ``folder/3``, each with its tokens, steps and seconds of training.

    Args:
        folder: where to.
        seconds: of the whole training, on the clock. The last one is written when training ends.
        tokenizer: the folder of the tokenizer.
        processor_time: whether the clock counts the seconds of this process alone, whatever else the machine does.
    """

    def __init__(self, *, folder: str, seconds: float, tokenizer: str, processor_time: bool = False) -> None:
        self.folder, self.seconds, self.tokenizer = Path(folder), seconds, Path(tokenizer)
        self.elapsed, self.taken = 0.0, 0
        self._clock = time.process_time if processor_time else time.monotonic
        self._steps: list[float] = []  # the seconds of each
        self._step, self._ended = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.elapsed, "taken": self.taken}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.elapsed, self.taken = state_dict["elapsed"], state_dict["taken"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._ended = self._clock() - self.elapsed, self.elapsed

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.elapsed = self._clock() - self._began
        if trainer.global_step > self._step:
            self._steps.append(self.elapsed - self._ended)
            self._step, self._ended = trainer.global_step, self.elapsed
        while self.taken + 1 < len(THIRDS) and self.elapsed >= self.seconds * THIRDS[self.taken] / len(THIRDS):
            self._take(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        while self.taken < len(THIRDS):  # a training that ends by its steps may end before its time
            self._take(trainer, pl_module)

    def _take(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self.elapsed = self._clock() - self._began
        self.taken += 1
        place = self.folder / str(THIRDS[self.taken - 1])
        self.folder.mkdir(parents=True, exist_ok=True)
        save_pretrained(pl_module.model, load_tokenizer(self.tokenizer), place)
        tokens = float(pl_module.since_last_row.seen(trainer)["data/tokens"])
        usual = sorted(self._steps)[: len(self._steps) - len(self._steps) // SLOWEST]
        pace = sum(usual) / len(usual)
        facts = {"tokens": round(tokens), "steps": trainer.global_step, "seconds": self.elapsed, "pace": pace}
        (place / FACTS).write_text(json.dumps(facts), encoding="utf-8")
