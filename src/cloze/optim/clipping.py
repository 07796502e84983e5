"""The global norm of the gradients: clipped, and logged."""

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from cloze.model.sharding import local


def clip_gradients(optimizer: Optimizer, max_norm: float | None) -> dict[str, Tensor | float]:
    """Scale all gradients so that their norm is at most `max_norm` (Pascanu et al. 2013, algorithm 1).

    Args:
        optimizer: of the parameters, which may be sharded over ranks.
        max_norm: None leaves them as they are.

    Returns:
        For the log: the norm before clipping, and the highest learning rate of this very step.
    """
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    norm = _global_norm(gradients)
    if max_norm is not None:
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_ has it
        torch._foreach_mul_([local(gradient) for gradient in gradients], scale)
    return {"optim/gradient_norm": norm, "optim/lr": max(group["lr"] for group in optimizer.param_groups)}


def _global_norm(gradients: list[Tensor]) -> Tensor:
    """(), over all ranks where gradients are sharded: one number is sent; ``clip_grad_norm_`` sends one a tensor."""
    norm = torch.nn.utils.get_total_norm([local(gradient) for gradient in gradients])
    meshes = {gradient.device_mesh for gradient in gradients if isinstance(gradient, DTensor)}
    for mesh in meshes:  # one, since all gradients are sharded alike, or none is
        square = norm.square()
        torch.distributed.all_reduce(square, group=mesh.get_group())
        norm = square.sqrt()
    return norm
