"""Between two rows of the metrics no training step asks the device for a value.

Shown on torch's meta device, whose tensors have no values: whatever reads one, in the model, the loss, the optimizer,
Lightning's loop, or a callback, raises. On a GPU torch itself watches.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.utils.data import DataLoader

from benchmarks.batches import random_batch
from cloze.batch import PretrainingBatch, on_device
from cloze.callbacks.finite import FiniteLoss
from cloze.callbacks.length import Length
from cloze.callbacks.step_seed import StepSeed
from cloze.callbacks.throughput import Throughput
from cloze.optim.schedules import Linear
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.training import Recipe
from tests.tiny import tiny_config

STEPS = 3
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*lr_scheduler.step", "ignore:.*but have no `val_dataloader`"
)


class NoValues(CPUAccelerator):
    """A device on which nothing can be read."""

    def setup_device(self, device: torch.device) -> None:
        assert device.type == "meta"


class OnNothing(SingleDeviceStrategy):
    """One process on that device."""

    def __init__(self) -> None:
        super().__init__(device=torch.device("meta"), accelerator=NoValues())

    def teardown(self) -> None:
        """Nothing can be brought back to the CPU."""


class Watched(pl.Callback):
    """Makes torch raise where a step waits for the GPU; the first step makes what is made once."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("error" if trainer.global_step else "default")

    def on_train_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def module(*, log_every: int, dropout: float, fused: bool) -> MaskedLMPretraining:
    shape = tiny_config(60, hidden_dropout_prob=dropout, attention_probs_dropout_prob=0.0)
    recipe = Recipe(
        optimizer=partial(torch.optim.AdamW, lr=1e-3, fused=fused), schedule=Linear(), length=100, log_every=log_every
    )
    return MaskedLMPretraining(shape=shape, recipe=recipe)


class Loader:
    """As the training loader brings batches to the device; of unknown length, which Lightning would add up there."""

    def __init__(self, batches: Iterable[PretrainingBatch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[PretrainingBatch]:
        return on_device(self.batches, torch.device("cuda") if torch.cuda.is_available() else None)


def batches() -> list[PretrainingBatch]:
    return [random_batch([30, 12, 5 + number], 60, seed=number) for number in range(2 * STEPS)]


def trainer(log_every: int, callbacks: list[pl.Callback], **where: Any) -> pl.Trainer:
    return pl.Trainer(
        **where,
        max_steps=STEPS,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        log_every_n_steps=log_every,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[Length(steps=100), FiniteLoss(), Throughput(), StepSeed(1), *callbacks],
    )


def without_values(log_every: int) -> pl.Trainer:
    return trainer(log_every, [], strategy=OnNothing())


def test_no_step_reads_a_value() -> None:
    run = without_values(log_every=50)
    run.fit(module(log_every=50, dropout=0.1, fused=False), Loader(batches()))
    assert run.global_step == STEPS


def test_a_row_of_the_metrics_does() -> None:
    run = without_values(log_every=2)
    with pytest.raises(NotImplementedError, match="no data"):  # from ``tolist``
        run.fit(module(log_every=2, dropout=0.1, fused=False), Loader(batches()))
    assert run.global_step == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_no_step_waits_for_a_gpu(precision: str) -> None:
    run = trainer(50, [Watched()], accelerator="gpu", devices=1, precision=precision)
    loader = DataLoader(batches(), batch_size=None, collate_fn=lambda batch: batch, pin_memory=True)  # type: ignore[arg-type, var-annotated]
    run.fit(module(log_every=50, dropout=0.1, fused=True), Loader(loader))
    assert run.global_step == STEPS
