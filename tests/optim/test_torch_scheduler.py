from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer
from torch.optim import lr_scheduler as schedulers

from cloze.optim.torch_scheduler import TorchScheduler

OTHERS: list[Any] = [partial(schedulers.ConstantLR)]
Make = Callable[[Optimizer], schedulers.LRScheduler]


@pytest.mark.parametrize(
    "make",
    [
        partial(schedulers.StepLR, step_size=3, gamma=0.5),
        partial(schedulers.CosineAnnealingLR, T_max=10, eta_min=1e-4),
        partial(schedulers.CosineAnnealingWarmRestarts, T_0=4),
        partial(schedulers.OneCycleLR, max_lr=1e-2, total_steps=20, cycle_momentum=False),
        partial(schedulers.CyclicLR, base_lr=1e-4, max_lr=1e-2, cycle_momentum=False),
        partial(schedulers.LinearLR, total_iters=5),
    ],
    ids=lambda make: make.func.__name__,
)
def test_the_rates_are_those_of_torch_s_own_loop(make: Make) -> None:
    lr = 3e-3
    schedule = TorchScheduler(make, lr, 20)
    optimizer = AdamW([Parameter(torch.zeros(2))], lr=lr)
    scheduler = make(optimizer)
    for step in range(20):
        assert lr * schedule(step, 20) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_seconds_are_steps_and_the_end_holds() -> None:
    schedule = TorchScheduler(partial(schedulers.StepLR, step_size=2, gamma=0.1), 1.0, 3.5)
    assert [schedule(at, 3.5) for at in (0.0, 1.9, 2.0, 3.9, 4.0, 9.0)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(schedulers.OneCycleLR, max_lr=1.0, total_steps=5, cycle_momentum=False), "number of total steps is 5"),
        (partial(schedulers.OneCycleLR, max_lr=1.0, total_steps=50), "moves momentum, too"),
        (partial(schedulers.CyclicLR, base_lr=0.1, max_lr=1.0), "moves momentum, too"),
        (schedulers.ReduceLROnPlateau, "needs more than the number of the step .*metrics"),
        (partial(schedulers.ChainedScheduler, OTHERS), "needs more than the number of the step"),
    ],
)
def test_what_is_no_function_of_the_step_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TorchScheduler(make, 0.1, 10)
