"""Validate a checkpoint against the state it will be loaded into, before loading anything.

torch, Lightning and fused kernels believe what they read: a state of another shape ends in one of their tracebacks, or
in the middle of a step as a segmentation fault.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from cloze.optim.settings import setting_names
from cloze.optim.trial import Trial
from cloze.runtime.wording import counted

ANYTHING = object()
"""A placeholder for a value that another check covers."""
_SINGLE = (bool, int, float, str, Tensor, type(None))
_KINDS = {
    bool: "true or false",
    dict: "a mapping",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    tuple: "a list",
    type(None): "null",
}


def difference(there: Any, here: Any, place: str, *, strict: bool = False) -> str | None:
    """Where two nestings of plain containers are not of one kind: in keys, lengths, types or the shapes of tensors.

    Args:
        there: of a checkpoint.
        here: of what it will be loaded into. A None stands for any single value, an empty list for any list, and
            `ANYTHING` for whatever there is.
        place: of both in the checkpoint, for the message.
        strict: all numbers are finite, and none is below zero. Otherwise they need only be numbers.

    Returns:
        What is wrong at the first such place, None where all is well.
    """
    if here is ANYTHING:
        return None
    if isinstance(here, Mapping):
        if not isinstance(there, Mapping):
            return _instead(there, place, "a mapping")
        if odd := sorted(map(str, there.keys() ^ here.keys())):
            return f"{place} {'has no' if odd[0] in map(str, here) else 'has an odd'} {odd[0]!r}"
        pairs = [(name, there[name], here[name]) for name in here]
    elif isinstance(here, list | tuple):
        if not isinstance(there, list | tuple):
            return _instead(there, place, "a list")
        if here and len(there) != len(here):
            return f"{place} has {counted(len(there), 'entries')} instead of {len(here)}"
        pairs = [(number, there[number], here[number]) for number in range(len(here))]
    else:
        return _value(there, here, place, strict)
    return next(filter(None, (difference(a, b, f"{place}.{name}", strict=strict) for name, a, b in pairs)), None)


def _value(there: Any, here: Any, place: str, strict: bool) -> str | None:
    if isinstance(here, Tensor):
        return tensor_fault(there, here.shape, place, floating=here.is_floating_point(), finite=strict)
    if here is None:
        return None if isinstance(there, _SINGLE) else _instead(there, place, "a single value")
    if type(here) not in (int, float):
        return None if type(there) is type(here) else _instead(there, place, _kind(here))
    if type(there) not in (int, float) or (type(here) is int and type(there) is float):
        return _instead(there, place, _kind(here))
    return f"{place} is {there}" if math.isnan(there) or (strict and not 0 <= there < math.inf) else None


def is_plain(value: Any) -> bool:
    """Whether a value is of the kind that a configuration holds."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def tensor_fault(
    there: Any, shape: Sequence[int | None], place: str, *, floating: bool, finite: bool = True
) -> str | None:
    """What is wrong with a tensor, if anything.

    Args:
        there: of the checkpoint.
        shape: that it must have, None for a dimension of any size.
        place: of it in the checkpoint.
        floating: whether it must hold real numbers; else whole ones.
        finite: whether infinite ones are wrong, as NaN is.
    """
    if not isinstance(there, Tensor):
        return _instead(there, place, "a tensor")
    if there.layout is not torch.strided or there.is_meta or there.is_quantized or there.is_nested:
        return f"{place} is no plain tensor"
    if there.is_complex() or there.is_floating_point() != floating:
        kind = str(there.dtype).removeprefix("torch.")
        return f"{place} holds {kind} instead of {'real' if floating else 'whole'} numbers"
    found = tuple(there.shape)
    if len(found) != len(shape) or any(size not in (None, own) for own, size in zip(found, shape, strict=True)):
        return f"{place} has shape {found} instead of {tuple('any' if size is None else size for size in shape)}"
    odd = floating and bool((~there.isfinite() if finite else there.isnan()).any())
    return f"{place} holds NaN or infinite values" if odd else None


def optimizer_fault(there: Any, trial: Trial, place: str, *, steps: int) -> str | None:
    """What is wrong with the state of an optimizer, if anything. Its settings are the configuration's to say.

    Args:
        there: of the checkpoint.
        trial: of the same optimizer over the same parameters.
        place: of the state in the checkpoint.
        steps: that the optimizer has made.
    """
    return next(_optimizer_faults(there, trial.optimizer, trial, place, steps), None)


def _optimizer_faults(there: Any, own: Optimizer, trial: Trial, place: str, steps: int) -> Iterator[str]:
    """Each reads on only where nothing was wrong before."""
    here = own.state_dict()
    yield from _fault(there, dict.fromkeys(here, ANYTHING), place)
    if "parts" in here:  # an optimizer that is made of others
        parts: list[Optimizer] = own.parts  # type: ignore[attr-defined]
        yield from _fault(there["parts"], [ANYTHING] * len(parts), f"{place}.parts")
        for number, part in enumerate(parts):
            yield from _optimizer_faults(there["parts"][number], part, trial, f"{place}.parts.{number}", steps)
        return
    groups = here["param_groups"]
    yield from _fault(there["param_groups"], [ANYTHING] * len(groups), f"{place}.param_groups")
    state_names = groups[0].keys() - setting_names(own) - {"params"}  # what some optimizers count there
    for number, group in enumerate(groups):
        found, name = there["param_groups"][number], f"{place}.param_groups.{number}"
        if not isinstance(found, Mapping):
            yield _instead(found, name, "a mapping")
        kept = {key: value for key, value in found.items() if key in {"params", *state_names}}
        yield from _fault(kept, {key: group[key] for key in ("params", *sorted(state_names))}, name)
        if kept["params"] != group["params"]:
            yield f"{name} is of other parameters"
        yield from _step_fault(kept, name, steps)
    yield from _state_faults(there["state"], own, trial, f"{place}.state", steps)


def _state_faults(there: Any, own: Optimizer, trial: Trial, place: str, steps: int) -> Iterator[str]:
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    expected = {number: own.state[small] for number, small in enumerate(parameters) if small in own.state}
    yield from _fault(
        there, dict.fromkeys(expected if steps or not isinstance(there, dict) else there, ANYTHING), place
    )
    for number, state in there.items():
        name = f"{place}.{number}"
        yield from _fault(state, dict.fromkeys(expected.get(number, {}), ANYTHING), name)
        for key, value in state.items():
            yield from _value_faults(value, expected[number][key], parameters[number], trial, f"{name}.{key}")
        yield from _step_fault(state, name, steps)


def _value_faults(there: Any, small: Any, parameter: Parameter, trial: Trial, place: str) -> Iterator[str]:
    """Of a value in the state of a parameter, of whose small stand-in the same value is `small`."""
    fault = None
    if isinstance(small, Tensor):
        fault = tensor_fault(there, trial.expected(parameter, small), place, floating=small.is_floating_point())
    elif small is None and isinstance(there, Tensor):  # what is kept where parameters have 16 bits
        fault = tensor_fault(there, trial.shapes[id(parameter)], place, floating=True)
    elif isinstance(small, list | tuple | dict):
        keys = list(small) if isinstance(small, dict) else range(len(small))
        yield from _fault(
            there, dict.fromkeys(keys, ANYTHING) if isinstance(small, dict) else [ANYTHING] * len(small), place
        )
        for key in keys:
            yield from _value_faults(there[key], small[key], parameter, trial, f"{place}.{key}")
    else:
        fault = difference(there, small, place)
    if fault:
        yield fault


def _step_fault(state: Mapping[str, Any], place: str, steps: int) -> Iterator[str]:
    if "step" in state and not 0 <= float(state["step"]) <= steps + 1:
        yield f"{place}.step is {float(state['step']):g} after {counted(steps, 'steps')}"


def _fault(there: Any, here: Any, place: str) -> Iterator[str]:
    if fault := difference(there, here, place):
        yield fault


def _instead(there: Any, place: str, expected: str) -> str:
    return f"{place} is {_kind(there)} instead of {expected}"


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a tensor" if isinstance(value, Tensor) else type(value).__name__)
