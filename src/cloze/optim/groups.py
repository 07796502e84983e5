"""Which parameters decay, and which are maps between hidden vectors."""

from typing import Any

from torch import nn

HIDDEN = "blocks"
"""The part of a parameter's name that tells a matrix of a Transformer block from an embedding or a head."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters, each in exactly one group: matrices decay, biases and norms do not.

    The rule "two or more dimensions" equals Google's list of exclusions (google-research/bert, ``optimization.py``:
    LayerNorm and bias). Matrices of the blocks are a group of their own, marked ``hidden``: Muon takes those.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [(HIDDEN in name.split("."), parameter) for name, parameter in named if parameter.ndim >= 2]
    groups = [
        {"params": [p for hidden, p in matrices if hidden], "weight_decay": weight_decay, "hidden": True},
        {"params": [p for hidden, p in matrices if not hidden], "weight_decay": weight_decay, "hidden": False},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0, "hidden": False},
    ]
    return [group for group in groups if group["params"]]
