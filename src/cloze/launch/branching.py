"""Branch a decay of the learning rate off a checkpoint; see `cloze.optim.decay`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from cloze.callbacks.length import Length
from cloze.config.schema import Pretraining, Run
from cloze.errors import InputError
from cloze.optim.decay import BegunDecay, Decay, DecayBeginning
from cloze.optim.groups import parameter_groups
from cloze.optim.settings import settings
from cloze.optim.trial import tried
from cloze.tasks.training import DECAY, TrainingModule


def check_decay(config: Run, checkpoint: Path | None) -> None:
    """Refuse a decay that has no checkpoint to begin from, or whose rates phases say, before anything else is done.

    Raises:
        InputError: so.
    """
    if config.schedule.type is Decay and checkpoint is None:
        raise InputError(
            "schedule=decay decays from the learning rate of a checkpoint: give one as resume=runs/NAME/checkpoints/"
            "step-*.ckpt, or take schedule=warmup_stable_decay"
        )
    phases = (isinstance(config, Pretraining) and config.phases) or []
    if config.schedule.type is Decay and any(phase.lr is not None or phase.final_lr is not None for phase in phases):
        raise InputError(
            "schedule=decay sets the learning rate from its checkpoint to the end, but phases say one, too: leave lr "
            "and final_lr out of phases, or schedule=decay"
        )


def branch(checkpoint: Path, content: Mapping[str, Any], trainer: pl.Trainer, module: TrainingModule) -> None:
    """Let a decay begin at a checkpoint, or continue the one that is under way there; no other schedule is touched.

    Args:
        checkpoint: whose name a refusal tells.
        content: of it, checked.
        trainer: with its callbacks.
        module: whose recipe gets the schedule with its beginning.

    Raises:
        InputError: the decay cannot be: it ends before it begins, rises, or begins at another learning rate.
    """
    recipe = module.recipe
    if not isinstance(recipe.schedule, Decay):
        return
    (length,) = (callback for callback in trainer.callbacks if isinstance(callback, Length))  # type: ignore[attr-defined]
    if DECAY in content:
        beginning = DecayBeginning(**content[DECAY])
    else:
        beginning = _beginning(content, length)
        _check_beginning(checkpoint, content, beginning, recipe.schedule, module)
    begin = float(beginning.step if length.steps is not None else beginning.seconds)
    if begin >= recipe.length:
        unit = "steps" if length.steps is not None else "seconds"
        raise InputError(
            f"schedule=decay begins after {begin:g} {unit}, with {checkpoint}, but the run ends after "
            f"{recipe.length:g}: give a longer trainer.max_{'steps' if length.steps is not None else 'time'}"
        )
    module.recipe = replace(recipe, schedule=BegunDecay(recipe.schedule, beginning, begin))


def _beginning(content: Mapping[str, Any], length: Length) -> DecayBeginning:
    (scheduler,) = content["lr_schedulers"]
    # Layers below the head may have a share of it; the largest multiplier is the schedule's own.
    shares = [rate / peak for rate, peak in zip(scheduler["_last_lr"], scheduler["base_lrs"], strict=True) if peak]
    seconds = content["callbacks"][length.state_key]["elapsed"]
    return DecayBeginning(int(content["global_step"]), float(seconds), max(shares, default=1.0))


def _check_beginning(
    checkpoint: Path, content: Mapping[str, Any], beginning: DecayBeginning, decay: Decay, module: TrainingModule
) -> None:
    recipe, was = module.recipe, content["lr_schedulers"][0]["base_lrs"]
    groups = parameter_groups(module.model, recipe.weight_decay, recipe.layer_decay)
    now = [group["lr"] for group in settings(tried(recipe.optimizer, groups).optimizer)]
    if other := [(a, b) for a, b in zip(was, now, strict=True) if a != b]:
        raise InputError(
            f"schedule=decay begins at the learning rate of {checkpoint}, of which the peak was {other[0][0]:g}, but "
            f"optimizer.lr is {other[0][1]:g}: leave it as it was"
        )
    if decay.floor > beginning.rate:
        raise InputError(
            f"schedule.floor is {decay.floor:g}, but the learning rate of {checkpoint} is only "
            f"{beginning.rate:g} of its peak: a decay does not rise; give a lower floor"
        )
