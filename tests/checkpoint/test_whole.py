"""The parts of checkpoints against what they would be loaded into."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytorch_optimizer
import torch
from torch import nn

from cloze.checkpoint.whole import ANYTHING, difference, is_plain, optimizer_fault, tensor_fault
from cloze.optim.muon import MuonAdamW
from cloze.optim.stable_adamw import DecoupledStableAdamW
from cloze.optim.trial import tried

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "amsgrad": partial(torch.optim.AdamW, amsgrad=True),
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "adafactor": torch.optim.Adafactor,
    "rprop": torch.optim.Rprop,
    "lamb": pytorch_optimizer.Lamb,
    "stableadamw": DecoupledStableAdamW,
    "soap": pytorch_optimizer.SOAP,
    "muon": MuonAdamW,
}


def groups(model: nn.Module) -> list[dict[str, Any]]:
    weights = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": weights, "hidden": True}, {"params": others, "hidden": False}]


def trained(make: Callable[..., torch.optim.Optimizer], steps: int = 3) -> tuple[Any, Any]:
    """The state of an optimizer after some steps, as a checkpoint has it, and its trial."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5))
    optimizer = make(groups(model))
    for _ in range(steps):
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    return copy.deepcopy(optimizer.state_dict()), tried(make, groups(model))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_whole_state_passes_and_one_that_lacks_something_does_not(name: str) -> None:
    state, trial = trained(OPTIMIZERS[name])
    assert optimizer_fault(state, trial, "it", steps=3) is None
    for part in state.get("parts", [state]):
        for values in part["state"].values():
            for key, value in list(values.items()):
                if isinstance(value, torch.Tensor) and value.ndim:
                    for wrong in (value[:-1], value.long(), value * math.nan, value.to_sparse(), 1.0, None):
                        values[key] = wrong
                        assert optimizer_fault(state, trial, "it", steps=3), (key, wrong)
                del values[key]
                assert optimizer_fault(state, trial, "it", steps=3)
                values[key] = value
        if part["state"]:
            number, values = part["state"].popitem()
            assert "has no" in str(optimizer_fault(state, trial, "it", steps=3))
            part["state"][number] = values
        group = part["param_groups"][0]
        for members in ([*group["params"], 99], group["params"][:-1], [99, *group["params"][1:]]):
            part["param_groups"][0] = {**group, "params": members}
            assert optimizer_fault(state, trial, "it", steps=3)
        part["param_groups"][0] = group


@pytest.mark.parametrize("other", ["amsgrad", "lamb", "muon", "momentum"])
def test_the_state_of_another_optimizer_does_not_pass(other: str) -> None:
    _, trial = trained(OPTIMIZERS["adamw"])
    state, _ = trained(OPTIMIZERS[other])
    assert optimizer_fault(state, trial, "it", steps=3)


def test_more_steps_than_were_made() -> None:
    state, trial = trained(OPTIMIZERS["adamw"])
    assert "after 1 step" in str(optimizer_fault(state, trial, "it", steps=1))


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"a": 1}, {"a": 0}, None),
        ({"a": 1, "b": 2}, {"a": 0}, "it has an odd 'b'"),
        ({}, {"a": 0}, "it has no 'a'"),
        ({"a": [1, 2]}, {"a": [0]}, "it.a has 2 entries instead of 1"),
        ({"a": [1, 2]}, {"a": []}, None),
        ([1, "x"], [0, 0], "it.1 is text instead of a whole number"),
        (True, 0, "it is true or false instead of a whole number"),
        (0.5, 0, "it is a number instead of a whole number"),
        (1, 0.5, None),
        (math.nan, 0.5, "it is nan"),
        (-1, 0, "it is -1"),
        ("x", None, None),
        ({}, None, "it is a mapping instead of a single value"),
        (object(), ANYTHING, None),
        (torch.zeros(2), torch.zeros(3), "it has shape (2,) instead of (3,)"),
        (torch.zeros(3).long(), torch.zeros(3), "it holds int64 instead of real numbers"),
        (torch.zeros(3).to_sparse(), torch.zeros(3), "it is no plain tensor"),
        (torch.zeros(3, device="meta"), torch.zeros(3), "it is no plain tensor"),
    ],
)
def test_differences(there: Any, here: Any, said: str | None) -> None:
    assert difference(there, here, "it", strict=True) == said


def test_infinite_values_may_be_meant() -> None:
    infinite = torch.tensor([math.inf])
    assert tensor_fault(infinite, [1], "it", floating=True, finite=False) is None
    assert tensor_fault(infinite, [1], "it", floating=True) == "it holds NaN or infinite values"


def test_what_a_configuration_holds() -> None:
    assert is_plain({"a": [1, 2.5, None, "x", {"b": True}]})
    assert not is_plain({"a": [torch.zeros(1)]})
    assert not is_plain({1: 2})
