"""The global norm of the gradients: clipped, and told."""

import torch
from torch import Tensor
from torch.optim import Optimizer


def clip_gradients(optimizer: Optimizer, max_norm: float | None) -> dict[str, Tensor | float]:
    """Scale all gradients so that their norm is at most `max_norm` (Pascanu et al. 2013, algorithm 1).

    Args:
        optimizer: of the parameters.
        max_norm: None leaves them as they are.

    Returns:
        For the log: the norm before clipping, and the highest learning rate of this very step.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm or float("inf"))
    return {"optim/gradient_norm": norm, "optim/lr": max(group["lr"] for group in optimizer.param_groups)}
