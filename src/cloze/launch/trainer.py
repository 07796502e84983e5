"""The trainer, as both kinds of training set it up."""

import inspect
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

from cloze.callbacks.checkpoints import Checkpoints
from cloze.callbacks.step_seed import StepSeed
from cloze.checkpoint.saves import Saves
from cloze.config.sections import Checkpointing, Hardware, Training
from cloze.config.validation import locate
from cloze.launch.strategy import make_strategy
from cloze.run_folder import CHECKPOINTS


class Cuttable(Protocol):
    """A data module that knows into how many micro-batches it has to cut a global batch."""

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about so many tokens."""


def make_trainer(
    training: Training,
    hardware: Hardware,
    *,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger],
) -> pl.Trainer:
    """The trainer for this training on this hardware; quiet, since our own callbacks say what there is to say."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # which devices it found, and what else is sold
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # the module has reduced its metrics itself
    warnings.filterwarnings("ignore", message=".*in eval mode.*")  # frozen parts are, on purpose
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # lightning 2.6 with torch 2.13
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.num_nodes,
        strategy=make_strategy(hardware),
        precision=hardware.precision,
        max_epochs=-1,  # the end is the callback's, with a last evaluation
        gradient_clip_val=training.gradient_clip,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=training.log_every,
        callbacks=list(callbacks),
        plugins=[callback.io for callback in callbacks if isinstance(callback, Checkpoints)],
        logger=list(loggers),
        enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def lasting(
    config: Mapping[str, Any], *, monitor: str | None, higher_is_better: bool = False
) -> tuple[Checkpoints, StepSeed]:
    """What lets a run stop at any moment and go on as if it had not.

    Args:
        config: the root, with `folder`, `seed` and the section `checkpoint`.
        monitor: the metric by which the best checkpoint is kept.
        higher_is_better: of that metric.
    """
    section = Checkpointing(**config["checkpoint"])
    saves = Saves(Path(config["folder"]) / CHECKPOINTS, keep_last=section.keep_last, higher_is_better=higher_is_better)
    checkpoints = Checkpoints(
        saves,
        every_steps=section.every_steps,
        every_minutes=section.every_minutes,
        monitor=monitor,
        asynchronous=section.asynchronous,
    )
    return checkpoints, StepSeed(config["seed"])


def accumulate(trainer: pl.Trainer, data: Cuttable, micro_batch_tokens: int, validate_every: int) -> None:
    """Tell the trainer how many micro-batches make an optimizer step, by the data and the number of ranks."""
    accumulation = data.accumulation(micro_batch_tokens, trainer.world_size)
    trainer.accumulate_grad_batches = accumulation
    trainer.val_check_interval = validate_every * accumulation  # Lightning counts micro-batches


def weight_decay(optimizer: Mapping[str, Any]) -> float:
    """What the optimizer's node says, else its constructor's default: the parameter groups say it for each group."""
    default = inspect.signature(locate(optimizer["_target_"], "optimizer")).parameters["weight_decay"].default
    return float(optimizer.get("weight_decay", default))


def steps_in(checkpoint: Path | None) -> int:
    """Optimizer steps behind a checkpoint; none without one."""
    if checkpoint is None:
        return 0
    print(f"going on from {checkpoint}", file=sys.stderr)
    return int(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["global_step"])
