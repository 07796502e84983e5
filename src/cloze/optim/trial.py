"""Try an optimizer on small parameters to learn which state it keeps."""

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

SIDES = (2, 3, 5, 7)
"""Of a small parameter: all different, so that those of a state tell from which of the parameter's they come."""

OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]
"""From groups of parameters to an optimizer."""


class Trial(NamedTuple):
    """An optimizer after a step on small parameters, in the groups and in the order of a model's.

    Attributes:
        optimizer: with its state.
        shapes: of the model's parameters, by the ``id`` of the small one.
    """

    optimizer: Optimizer
    shapes: dict[int, tuple[int, ...]]

    def expected(self, parameter: Parameter, state: Tensor) -> list[int | None]:
        """The shape of a state of the model's parameter; None for a side whose size is unknown.

        Args:
            parameter: the small one.
            state: of it.
        """
        sides = {1: 1, **dict(zip(parameter.shape, self.shapes[id(parameter)], strict=True))}
        told = [side for side in state.shape if side == 1 or tuple(state.shape).count(side) == 1]
        return [sides.get(side) if side in told else None for side in state.shape]


def tried(make: OptimizerFactory, groups: Sequence[dict[str, Any]]) -> Trial:
    """Make an optimizer and let it do a step.

    Args:
        make: from groups of parameters to an optimizer.
        groups: of a model's parameters, which are not touched.

    Raises:
        Exception: what the optimizer raises.
        ValueError: its state cannot be read from a checkpoint, since that would run code.
    """
    shapes: dict[int, tuple[int, ...]] = {}
    small_groups = []
    for group in groups:
        members = [Parameter(torch.ones(SIDES[: parameter.ndim])) for parameter in group["params"]]
        shapes |= {id(small): tuple(own.shape) for small, own in zip(members, group["params"], strict=True)}
        small_groups.append({**group, "params": members})
    optimizer = make(small_groups)
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = False  # of parameters on a GPU, which these are not
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    with torch.random.fork_rng(devices=[]):
        optimizer.step()
    _check_readable(optimizer)
    return Trial(optimizer, shapes)


def _check_readable(optimizer: Optimizer) -> None:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except Exception as error:  # torch's reader of pickles raises nearly anything
        raise ValueError(
            f"{type(optimizer).__name__} keeps objects in its state, which no checkpoint can give back without running "
            "code: take another one"
        ) from error
