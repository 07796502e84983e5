"""Set up the Lightning trainer for pre-training and fine-tuning."""

import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cloze.callbacks.checkpoints import Checkpoints
from cloze.callbacks.length import Length
from cloze.callbacks.step_seed import StepSeed
from cloze.checkpoint.saves import CheckpointStore
from cloze.config.hardware import Hardware
from cloze.config.nodes import Node
from cloze.config.schema import Run
from cloze.config.sections import TaskTraining, Training
from cloze.data.pretraining.phases import Course, Phase
from cloze.errors import InputError
from cloze.launch.launcher import Launcher
from cloze.launch.ranks import cluster
from cloze.launch.slurm import requeue
from cloze.launch.strategy import make_strategy
from cloze.optim.phased import Phased, RateChange
from cloze.optim.torch_scheduler import TorchScheduler
from cloze.optim.trial import OptimizerFactory, tried
from cloze.run.folder import CHECKPOINTS
from cloze.tasks.training import Recipe


class Cuttable(Protocol):
    """A data module that knows into how many micro-batches it has to split a global batch."""

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about this many tokens."""


def make_trainer(
    training: Training, hardware: Hardware, callbacks: Sequence[pl.Callback], loggers: Sequence[Logger] = ()
) -> pl.Trainer:
    """The trainer for this training on this hardware; quiet, since our own callbacks say what there is to say."""
    lengths = (callback for callback in callbacks if isinstance(callback, Length))
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # which devices it found, and what else is sold
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # the module has reduced its metrics itself
    warnings.filterwarnings("ignore", message=".*in eval mode.*")  # frozen parts are, on purpose
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # lightning 2.6 with torch 2.13
    environment = cluster(hardware)
    try:
        trainer = pl.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.num_nodes,
            strategy=make_strategy(hardware),
            precision=hardware.of_lightning,
            max_epochs=-1,  # the end is the callback's, with a last evaluation
            gradient_clip_val=training.gradient_clip,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=next((length.log_every(training.log_every) for length in lengths), training.log_every),
            callbacks=list(callbacks),
            plugins=[environment, *(callback.io for callback in callbacks if isinstance(callback, Checkpoints))],
            logger=list(loggers),
            enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (ValueError, ModuleNotFoundError, MisconfigurationException) as error:  # an accelerator, a strategy, ...
        raise InputError(f"hardware: {str(error).partition('. ')[0]}") from error
    # Lightning's handler talks to the other processes wherever this one stands, and may wait for them for ever.
    trainer._signal_connector.register_signal_handlers = _leave_signals  # type: ignore[method-assign]
    if trainer.world_size > 1:
        trainer.strategy._launcher = Launcher(
            environment, hardware.devices, hardware.num_nodes, timeout=hardware.collective_timeout
        )
    return trainer


def _leave_signals() -> None:
    """To `cloze.runtime.stopping`."""


def lasting(config: Run, *, monitor: str | None, higher_is_better: bool = False) -> tuple[Checkpoints, StepSeed]:
    """Lets a run stop at any moment and resume as if it had not.

    Args:
        config: the root.
        monitor: the metric by which the best checkpoint is kept.
        higher_is_better: of that metric.
    """
    section, hardware = config.checkpoint, config.hardware
    saves = CheckpointStore(
        Path(config.folder) / CHECKPOINTS, keep_last=section.keep_last, higher_is_better=higher_is_better
    )
    checkpoints = Checkpoints(
        saves,
        configuration=config.recorded,
        every_steps=section.every_steps,
        every_minutes=section.every_minutes,
        monitor=monitor,
        asynchronous=section.asynchronous,
        stop_after=section.seconds(),
        timeout=hardware.collective_timeout,
        queue_again=requeue if hardware.launcher == "slurm" and hardware.requeue else None,
    )
    return checkpoints, StepSeed(config.seed)


def accumulate(trainer: pl.Trainer, data: Cuttable, micro_batch_tokens: int, validate_every: int) -> None:
    """Tell the trainer how many micro-batches make an optimizer step, by the data and the number of ranks."""
    accumulation = data.accumulation(micro_batch_tokens, trainer.world_size)
    trainer.accumulate_grad_batches = accumulation
    trainer.val_check_interval = validate_every * accumulation  # Lightning counts micro-batches


def make_recipe(config: Run, length: Length) -> Recipe:
    """How a module updates its model.

    Args:
        config: the root; its schedule is of the learning rate, or of torch's schedulers, what makes one.
        length: of training.

    Raises:
        InputError: the optimizer or the scheduler refuses a value.
    """
    training, decay, schedule = config.trainer, weight_decay(config.optimizer), config.schedule.build()
    factory = make_optimizer(config.optimizer)
    if _makes_scheduler(schedule):
        try:
            schedule = TorchScheduler(schedule, factory(_some_groups()).param_groups[0]["lr"], length.total)
        except ValueError as error:
            raise InputError(f"schedule: {error}") from error
    return Recipe(
        optimizer=factory,
        schedule=schedule,
        length=length.total,
        position=length.position,
        weight_decay=decay,
        layer_decay=training.layer_decay if isinstance(training, TaskTraining) else 1.0,
        log_every=length.log_every(training.log_every),
    )


def in_phases(recipe: Recipe, phases: Sequence[Phase], course: Course) -> Recipe:
    """The recipe with the learning rates that phases say.

    Args:
        recipe: whose schedule holds up to the first of them.
        phases: of training.
        course: where they begin and end.

    Raises:
        InputError: the length of training is a time, in which phases have no place.
    """
    if all(phase.lr is None and phase.final_lr is None for phase in phases):
        return recipe
    if course.total is None:
        raise InputError("phases that say a learning rate need a length in steps, tokens or epochs: set one of them")
    changes = [
        RateChange(*course.bounds(number), phase.lr, phase.final_lr, phase.lr_shape)  # type: ignore[arg-type]
        for number, phase in enumerate(phases)
    ]
    peak = recipe.optimizer(_some_groups()).param_groups[0]["lr"]
    return replace(recipe, schedule=Phased.of(recipe.schedule, changes, peak))


def _makes_scheduler(schedule: object) -> TypeGuard[Callable[[Optimizer], LRScheduler]]:
    made = schedule.func if isinstance(schedule, partial) else None
    return inspect.isclass(made) and issubclass(made, LRScheduler)


def make_optimizer(node: Node[OptimizerFactory]) -> OptimizerFactory:
    """From groups of parameters to the optimizer; tried once, before anything is written.

    Raises:
        InputError: it refuses a value, as a learning rate below zero.
    """
    optimizer = node.build()
    try:
        tried(optimizer, _some_groups())
    except Exception as error:
        of_value = isinstance(error, ValueError) or type(error).__module__.startswith("pytorch_optimizer")
        if node.type.__module__.partition(".")[0] == "cloze" and not of_value:
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        told = reason if of_value else f"{node.target} cannot be used here ({reason}): take another one"
        raise InputError(f"optimizer: {told}") from error
    return optimizer


def _some_groups() -> list[dict[str, Any]]:
    kinds = (((2, 2), True), ((2, 2), False), ((2,), False))
    return [{"params": [Parameter(torch.zeros(shape))], "hidden": hidden} for shape, hidden in kinds]


def weight_decay(optimizer: Node[OptimizerFactory]) -> float:
    """What the optimizer's node says, else its constructor's default: the parameter groups say it for each group.

    None of it where the constructor knows of none.
    """
    known = inspect.signature(optimizer.type).parameters.get("weight_decay")
    default = 0.0 if known is None or not isinstance(known.default, int | float) else known.default
    return float(optimizer.arguments.get("weight_decay", default) or 0.0)
