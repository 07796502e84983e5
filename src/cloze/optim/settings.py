"""The settings of an optimizer, separate from its state; a resumed run takes them from the configuration."""

import inspect
from typing import Any

from torch.optim import Optimizer

MARKS = ("weight_decay", "hidden", "parts", "lr_scale")
"""What `parameter_groups` says of a group."""

Settings = list[dict[str, Any]]


def settings(optimizer: Optimizer) -> Settings:
    """What the constructor of a new optimizer was given for each group of parameters.

    The other keys of a group, as the count of steps that some optimizers keep there, are state.
    """
    names = setting_names(optimizer)
    return [{name: group[name] for name in names & group.keys()} for group in optimizer.param_groups]


def setting_names(optimizer: Optimizer) -> set[str]:
    """The names under which a group of parameters holds settings."""
    return {*inspect.signature(type(optimizer)).parameters, *MARKS} - {"params"}


def restate(optimizer: Optimizer, told: Settings) -> None:
    """Put the settings back that loading a state has replaced by those with which it was saved."""
    for group, own in zip(optimizer.param_groups, told, strict=True):
        group.update(own)
        group["initial_lr"] = own["lr"]  # a scheduler's name for the rate that it multiplies
