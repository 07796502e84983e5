"""ModernBERT's StableAdamW against a plain statement of its rule, over a schedule with warm-up."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from cloze.optim.schedules import WarmupStableDecay
from cloze.optim.settings import restate, settings
from cloze.optim.stable_adamw import DecoupledStableAdamW

LR, DECAY, EPS, BETAS, STEPS = 8e-4, 0.01, 1e-6, (0.9, 0.98), 12
SCHEDULE = partial(WarmupStableDecay(warmup_steps=4, decay_ratio=0.3), length=STEPS)


def gradients() -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    spread = [1.0] * 6 + [30.0] * 6  # a spike, which is clipped
    return [[torch.randn(shape, generator=generator) * s for shape in ((5, 3), (4,))] for s in spread]


def start() -> list[Parameter]:
    return [Parameter(torch.linspace(-1, 1, 15).view(5, 3)), Parameter(torch.linspace(0.5, 1, 4))]


def made(parameters: list[Parameter]) -> tuple[DecoupledStableAdamW, LambdaLR]:
    groups = [{"params": parameters[:1], "weight_decay": DECAY}, {"params": parameters[1:], "weight_decay": 0.0}]
    optimizer = DecoupledStableAdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    return optimizer, LambdaLR(optimizer, SCHEDULE)


def stepped(optimizer: DecoupledStableAdamW, scheduler: LambdaLR, parameters: list[Parameter], steps: range) -> None:
    for step in steps:
        for parameter, gradient in zip(parameters, gradients()[step], strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        scheduler.step()


def test_steps_are_those_of_the_rule() -> None:
    parameters, (weight, norm) = start(), [p.detach().double() for p in start()]
    optimizer, scheduler = made(parameters)
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in (weight, norm)]
    for step in range(STEPS):
        stepped(optimizer, scheduler, parameters, range(step, step + 1))
        for p, (first, second), gradient, decay in zip(
            (weight, norm), moments, gradients()[step], (DECAY, 0.0), strict=True
        ):
            g = gradient.double()
            first.mul_(BETAS[0]).add_((1 - BETAS[0]) * g)
            second.mul_(BETAS[1]).add_((1 - BETAS[1]) * g * g)
            m, v = first / (1 - BETAS[0] ** (step + 1)), second / (1 - BETAS[1] ** (step + 1))
            clipped = max(1.0, math.sqrt((g * g / v.clamp(min=EPS**2)).mean().item()))
            lr = LR * SCHEDULE(step) / clipped
            p.mul_(1 - decay * lr / LR).sub_(lr * m / (v.sqrt() + EPS))
    for ours, expected, before in zip(parameters, (weight, norm), start(), strict=True):
        torch.testing.assert_close(ours.detach().double(), expected, atol=1e-6, rtol=1e-6)
        assert (ours - before).abs().max() > 1e-4
    assert [group["weight_decay"] for group in optimizer.param_groups] == [DECAY, 0.0]


@pytest.mark.parametrize("lr", [8e-4, 8e-2])
def test_the_decay_of_a_step_is_the_same_at_any_peak(lr: float) -> None:
    parameter = Parameter(torch.ones(3, 2))
    optimizer = DecoupledStableAdamW([parameter], lr=lr, weight_decay=0.25)
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((3, 2), 0.75))


def test_a_state_continues_bit_for_bit_and_a_new_peak_holds() -> None:
    whole, twin = start(), start()
    stepped(*made(whole), whole, range(STEPS))
    optimizer, scheduler = made(twin)
    stepped(optimizer, scheduler, twin, range(5))
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    again, following = made(twin)
    again.load_state_dict(states[0])
    following.load_state_dict(states[1])
    stepped(again, following, twin, range(5, STEPS))
    assert all(torch.equal(one, other) for one, other in zip(whole, twin, strict=True))
    told = settings(again)
    for group in told:
        group["lr"] = 1.0
    restate(again, told)
    assert {group["initial_lr"] for group in again.param_groups} == {1.0}


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="it must be above 0, since"):
        DecoupledStableAdamW([Parameter(torch.ones(1))], lr=0.0)
