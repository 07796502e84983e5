"""Real tokens per second, and the fraction of the hardware's peak that they use (MFU)."""

import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TokenBatch
from cloze.callbacks.length import Length
from cloze.model.architecture import Work, architecture_of, attended
from cloze.runtime.peak import peak_flops

GIB = 2**30


class Throughput(pl.Callback):
    """Logs `speed/...` at every row of the metrics: real tokens and sequences a second, MFU, share of waiting for data,
    memory, the time of training so far and what is left.

    Evaluation and checkpoints are outside the measured time. Padding to constant shapes is no work done. All sizes are
    summed on the device and read only when they are logged.
    """

    def __init__(self) -> None:
        self._peak: float | None = None  # FLOP/s of all devices
        self._windows: tuple[int | None, ...] = ()
        self._totals: Tensor | None = None  # float64: masked tokens, sequences, attended pairs of each window
        self._tokens = 0
        self._seconds = self._waiting = 0.0
        self._begin = self._end = time.perf_counter()
        self._evaluated = False  # since the last step
        self._step = 0
        self._trained = 0.0  # seconds on the clock before this process
        self._started = self._begin

    def state_dict(self) -> dict[str, Any]:
        return {"trained": self._clock()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._trained = state_dict["trained"]

    def _clock(self) -> float:
        """Seconds since training began, over all processes that trained it."""
        return self._trained + time.perf_counter() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        peak = peak_flops(pl_module.device, str(trainer.precision))
        # Of an encoder that is frozen, in part or whole, the formula would count work that nobody does.
        whole = all(parameter.requires_grad for parameter in pl_module.parameters())
        self._peak = peak * trainer.world_size if peak and whole else None
        if self._peak:
            config = pl_module.model.config  # type: ignore[union-attr]
            self._windows = tuple(architecture_of(config).windows(config))  # type: ignore[arg-type]
        self._totals = torch.zeros(2 + len(self._windows), dtype=torch.float64, device=pl_module.device)
        self._started = self._end = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: TokenBatch, batch_idx: int
    ) -> None:
        self._begin = time.perf_counter()
        if self._evaluated:  # what other callbacks did at its end was no waiting
            self._evaluated, self._end = False, self._begin
        self._waiting += self._begin - self._end
        self._seconds += self._begin - self._end

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: TokenBatch,
        batch_idx: int,
    ) -> None:
        assert self._totals is not None
        ends, lengths = batch.packed.cu_seqlens[1:], batch.packed.cu_seqlens.diff()
        real = (lengths > 0) & (ends <= batch.num_tokens)  # sequences that only pad to constant shapes come last
        masked = pl_module.masked_labels(batch) != IGNORED_LABEL  # type: ignore[operator]
        pairs = [(real * attended(lengths.double(), window)).sum() for window in self._windows]
        self._totals += torch.stack([masked.sum(), real.sum(), *pairs])
        self._tokens += batch.num_tokens
        self._end = time.perf_counter()
        self._seconds += self._end - self._begin
        log_every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step > self._step and trainer.global_step % log_every == 0:
            self._step = trainer.global_step
            pl_module.log_dict(self._measures(trainer, pl_module), batch_size=1)
            self._tokens, self._seconds, self._waiting = 0, 0.0, 0.0
            self._totals.zero_()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._evaluated = True

    def _measures(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
        assert self._totals is not None
        masked, sequences, *pairs = (round(total) for total in self._totals.tolist())
        if self._totals.is_cuda:  # reading the totals waited for the device: that was work, too
            self._seconds += time.perf_counter() - self._end
            self._end = time.perf_counter()
        rate = trainer.world_size / self._seconds
        measures = {
            "speed/tokens_per_second": rate * self._tokens,
            "speed/sequences_per_second": rate * sequences,
            "speed/data_wait_share": self._waiting / self._seconds,
            "speed/seconds": self._clock(),
            **memory_in_gib(pl_module.device),
        }
        length = next((found for found in trainer.callbacks if isinstance(found, Length)), None)  # type: ignore[attr-defined]
        if length is not None and (left := length.seconds_left(trainer.global_step)) is not None:
            measures["speed/seconds_left"] = left
        if self._peak:
            work = Work(self._tokens, dict(zip(self._windows, pairs, strict=True)), masked, sequences)
            measures["speed/mfu"] = rate * pl_module.flops(work) / self._peak  # type: ignore[operator]
        return measures


def memory_in_gib(device: torch.device) -> dict[str, float]:
    """What this process holds in memory now, where the system tells; of its GPU the most since the last time."""
    found: dict[str, float] = {}
    with suppress(OSError):  # no Linux
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        found["speed/memory_gib"] = resident * resource.getpagesize() / GIB
    if device.type == "cuda":
        found["speed/cuda_memory_gib"] = torch.cuda.max_memory_allocated(device) / GIB
        found["speed/cuda_reserved_gib"] = torch.cuda.max_memory_reserved(device) / GIB
        torch.cuda.reset_peak_memory_stats(device)
    return found
