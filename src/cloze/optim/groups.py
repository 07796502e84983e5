"""Parameter groups: weight decay, matrices for Muon, and layer-wise learning rates."""

from typing import Any

from torch import nn

from cloze.model.encoder import Encoder


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """The trainable parameters, each in exactly one group: matrices decay, biases and norms do not.

    The rule "two or more dimensions" equals Google's list of exclusions (google-research/bert, ``optimization.py``:
    LayerNorm and bias). The matrices of an encoder's blocks are a group of their own, marked ``hidden``: Muon takes
    those; tensors that hold several matrices are further groups, with their number as ``parts``.

    With a ``layer_decay`` below 1, each layer has groups of its own, marked ``lr_scale``, by which the schedule is to
    multiply their learning rate: 1 for the pooler and the head (and a norm after the last block), ``layer_decay`` for
    the last block, its square for the block below, and so on down to the embeddings (Howard & Ruder 2018, section 3.2,
    "discriminative fine-tuning"; for a Transformer Clark et al. 2020, appendix B, whose code begins with the square at
    the last block).

    Raises:
        ValueError: ``layer_decay`` is not above 0 and at most 1.
    """
    if not 0.0 < layer_decay <= 1.0:
        raise ValueError(f"layer_decay={layer_decay}: it must be above 0 and at most 1")
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    parts = {id(p): count for encoder in encoders for block in encoder.stack for p, count in block.matrices().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    kinds: list[tuple[list[nn.Parameter], dict[str, Any]]] = []
    for count in sorted({*parts.values()}):
        marks = {"weight_decay": weight_decay, "hidden": True} | ({"parts": count} if count > 1 else {})
        kinds.append(([p for p in matrices if parts.get(id(p)) == count], marks))
    kinds += [
        ([p for p in matrices if id(p) not in parts], {"weight_decay": weight_decay, "hidden": False}),
        ([p for p in trained if p.ndim < 2], {"weight_decay": 0.0, "hidden": False}),
    ]
    if layer_decay == 1.0:
        return [{"params": members, **marks} for members, marks in kinds if members]
    depths = {
        id(parameter): depth
        for encoder in encoders
        for depth, layer in _layers(encoder)
        for module in layer
        for parameter in module.parameters()
    }
    return [
        {"params": params, **marks, "lr_scale": layer_decay**depth}
        for members, marks in kinds
        for depth in range(max(depths.values(), default=0) + 1)
        if (params := [p for p in members if depths.get(id(p), 0) == depth])
    ]


def _layers(encoder: Encoder) -> list[tuple[int, tuple[nn.Module, ...]]]:
    """Each layer with how far it lies below the head: 1 for the last block, one more for the block below."""
    blocks: list[tuple[nn.Module, ...]] = [(block,) for block in reversed(list(encoder.stack))]
    return list(enumerate([*blocks, encoder.below], start=1))
