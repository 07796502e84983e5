"""The size of an update relative to the parameters, to judge the learning rate."""

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from cloze.model.sharding import local

Groups = dict[str, list[Tensor]]


def copied_parameters(optimizer: Optimizer) -> Groups:
    """The parameters as they are, in three groups: matrices of the blocks, other matrices, biases and norms.

    One copy of the weights in memory, for as long as it is kept.
    """
    with torch.no_grad():
        return {name: [local(p).clone() for p in members] for name, members in _groups(optimizer).items()}


def update_ratios(optimizer: Optimizer, before: Groups) -> dict[str, Tensor | float]:
    """The norm of the update over the norm of the parameters before it, of each group, for the log.

    About 1e-3 is a usual value for matrices; far above, training is about to diverge, far below, it hardly learns.

    Args:
        optimizer: after its step.
        before: `copied_parameters` before it.
    """
    ratios: dict[str, Tensor | float] = {}
    with torch.no_grad():
        for name, members in _groups(optimizer).items():
            change = torch._foreach_sub([local(p) for p in members], before[name])
            squares = torch.stack([_square(list(change)), _square(before[name])])
            for mesh in {p.device_mesh for p in members if isinstance(p, DTensor)}:  # each rank holds a part
                torch.distributed.all_reduce(squares, group=mesh.get_group())
            moved, size = squares.sqrt()
            ratios[f"optim/update_ratio/{name}"] = moved / size.clamp(min=1e-30)
    return ratios


def _groups(optimizer: Optimizer) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.numel():
                matrices = "blocks" if group.get("hidden") else "embeddings_and_heads"
                name = matrices if parameter.ndim >= 2 else "biases_and_norms"
                found.setdefault(name, []).append(parameter)
    return found


def _square(tensors: list[Tensor]) -> Tensor:
    return torch.stack([norm.double() for norm in torch._foreach_norm(tensors)]).square().sum()
