"""Which parameters decay, which are maps between hidden vectors, and which learn more slowly than others."""

import re
from typing import Any

from torch import nn

HIDDEN = "blocks"
"""The part of a parameter's name that tells a matrix of a Transformer block from an embedding or a head."""


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """The trainable parameters, each in exactly one group: matrices decay, biases and norms do not.

    The rule "two or more dimensions" equals Google's list of exclusions (google-research/bert, ``optimization.py``:
    LayerNorm and bias). Matrices of the blocks are a group of their own, marked ``hidden``: Muon takes those.

    With a ``layer_decay`` below 1, each layer has groups of its own, marked ``lr_scale``, by which the schedule is to
    multiply their learning rate: 1 for the pooler and the head, ``layer_decay`` for the last block, its square for the
    block below, and so on down to the embeddings (Howard & Ruder 2018, section 3.2, "discriminative fine-tuning"; for
    a Transformer Clark et al. 2020, appendix B, whose code begins with the square at the last block).

    Raises:
        ValueError: ``layer_decay`` is not above 0 and at most 1.
    """
    if not 0.0 < layer_decay <= 1.0:
        raise ValueError(f"layer_decay={layer_decay}: it must be above 0 and at most 1")
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [(name, parameter) for name, parameter in named if parameter.ndim >= 2]
    kinds = [
        ([(n, p) for n, p in matrices if HIDDEN in n.split(".")], {"weight_decay": weight_decay, "hidden": True}),
        ([(n, p) for n, p in matrices if HIDDEN not in n.split(".")], {"weight_decay": weight_decay, "hidden": False}),
        ([(n, p) for n, p in named if p.ndim < 2], {"weight_decay": 0.0, "hidden": False}),
    ]
    if layer_decay == 1.0:
        return [{"params": [p for _, p in members], **marks} for members, marks in kinds if members]
    depths = _depths(model)
    return [
        {"params": params, **marks, "lr_scale": layer_decay**depth}
        for members, marks in kinds
        for depth in range(max(depths.values()) + 1)
        if (params := [p for name, p in members if depths[name] == depth])
    ]


def _depths(model: nn.Module) -> dict[str, int]:
    """How far below the head each parameter lies: 0 for the head, 1 for the last block, one more for the embeddings."""
    names = [name for name, _ in model.named_parameters()]
    blocks = {name: int(match[1]) for name in names if (match := re.search(rf"\b{HIDDEN}\.(\d+)\.", name))}
    above = max(blocks.values(), default=-1) + 1
    return {name: above + 1 if "embeddings" in name.split(".") else above - blocks.get(name, above) for name in names}
