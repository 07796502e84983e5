"""Optimizers as people have them at hand."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class NoDecay(torch.optim.Optimizer):
    """Plain gradient descent, which knows of no weight decay."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> Any:
        """Down the gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.add_(parameter.grad, alpha=-group["lr"])
        return loss


class Passing(torch.optim.SGD):
    """Hands on what it does not know."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(params, lr, **kwargs)
