"""Begin a large model with the weights of a small one: more layers, and wider ones.

Each axis of a parameter is taken from the old one by an index: which row, head or layer each new one is a copy of.
Where the function is kept, what reads copies has its weights shared out among them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.model.bert import BertEncoder
from cloze.model.config import BertConfig, EncoderConfig
from cloze.model.modern import ModernEncoder
from cloze.model.modern_config import ModernBertConfig

Layers = Literal["stack", "interleave", "scale", "identity"]
Width = Literal["tile", "split"]
WIDTHS = ("hidden_size", "num_attention_heads", "intermediate_size")
DEPTH = "num_hidden_layers"

LAYERS: Mapping[str, Callable[[int, int, int], int]] = {
    "stack": lambda layer, old, _: layer % old,
    "interleave": lambda layer, old, new: layer * old // new,
    "identity": lambda layer, old, new: layer * old // new,
    "scale": lambda layer, old, new: min(old - 1, round(layer * old / new)),
}
"""The old layer that a new one is a copy of, from its number and both counts."""
AXES: Mapping[str, tuple[str, ...]] = {
    r"embeddings\.\w+_embeddings\.weight": ("", "hidden"),
    r"query_key_value\.weight": ("query_key_value", "of hidden"),
    r"query_key_value\.bias": ("query_key_value",),
    r"attention\.output\.weight": ("hidden", "of heads"),
    r"feed_forward\.intermediate\.weight": ("intermediate", "of hidden"),
    r"feed_forward\.intermediate\.bias": ("intermediate",),
    r"feed_forward\.output\.weight": ("hidden", "of wide"),
    r"\.output\.bias": ("hidden",),
    r"\.dense\.weight": ("hidden", "of hidden"),
    r"\.dense\.bias": ("hidden",),
    r"norm\.(weight|bias)": ("hidden",),
    r"(decoder|classifier|next_sentence_head)\.weight": ("", "of hidden"),
    r"(decoder|classifier|next_sentence_head)\.bias|decoder_bias": ("",),
}
"""What each axis of a parameter counts, by the end of its name: units, inputs ``of`` units, or nothing that grows."""
BLOCK = re.compile(r"(encoder\.blocks\.)(\d+)\.(.+)")
DECODED = re.compile(r"masked_lm_head\.(transform\.)?norm\.")
"""What is multiplied with the word embeddings where the decoder is tied to them."""


@dataclass(frozen=True)
class Axis:
    """How an axis grows.

    Attributes:
        source: (new,) the old index of each new one.
        shares: (new,) how much of an old weight goes to each of its copies, 1 in all.
    """

    source: Tensor
    shares: Tensor

    def repeated(self, times: int) -> "Axis":
        """Of several matrices, one below the other."""
        old = int(self.source.max()) + 1
        return Axis(torch.cat([self.source + number * old for number in range(times)]), self.shares.repeat(times))


def grown_shape(
    own: EncoderConfig, changed: Mapping[str, int], layers: Layers | None, width: Width | None, name: str
) -> EncoderConfig:
    """The shape of the large model.

    Args:
        own: of the small one.
        changed: what is stated of ``num_hidden_layers`` and ``WIDTHS``, and is not as in the small one.
        layers: how layers are added, if they are.
        width: how they are made wider, if they are.
        name: of the small model, for messages.

    Raises:
        InputError: it cannot begin with the small one in this way.
    """
    title = architecture_of(own).title
    known = architecture_of(own).encoder in (BertEncoder, ModernEncoder)
    if not known or not isinstance(own, BertConfig | ModernBertConfig):
        raise InputError(f"grow.layers and grow.width are for BERT, ModernBERT and their kin, but {name} is a {title}")
    for key, how, keys in (("layers", layers, (DEPTH,)), ("width", width, WIDTHS)):
        if how is not None and not changed.keys() & {*keys}:
            told = " or ".join(f"model.{each}" for each in keys)
            raise InputError(f"grow.{key}={how} needs a larger model than {name}: give {told}")
    for key, value in changed.items():
        if value < getattr(own, key):
            raise InputError(f"model.{key} is {value}, but {name} has {getattr(own, key)}: a model can only grow")
    if layers == "identity" and not getattr(own, "pre_norm", False):
        raise InputError(
            f"grow.layers=identity keeps the function where norms stand before the sub-layers, but {name}, a {title}, "
            "has them after: take stack, interleave or scale"
        )
    fields: dict[str, Any] = {**changed, **_kinds(own, changed.get(DEPTH), layers)}
    shape: EncoderConfig = replace(own, **fields)
    sizes = [each.hidden_size // each.num_attention_heads for each in (own, shape)]
    if sizes[0] != sizes[1] or shape.hidden_size % shape.num_attention_heads:
        raise InputError(
            f"model.hidden_size={shape.hidden_size} with model.num_attention_heads={shape.num_attention_heads} changes "
            f"the size of a head, which is {sizes[0]} in {name}: a model grows by whole heads"
        )
    if width == "split" and shape.hidden_size % own.hidden_size:
        raise InputError(
            f"grow.width=split keeps the function where model.hidden_size is a multiple of that of {name}, "
            f"{own.hidden_size}, but it is {shape.hidden_size}: take a multiple, or grow.width=tile"
        )
    if width == "split" and _decoder(own) == "bare" and shape.hidden_size > own.hidden_size:
        raise InputError(
            f"grow.width=split cannot keep the function of {name}, whose decoder is tied to the word embeddings with "
            "no norm of its own before it: take grow.width=tile"
        )
    return shape


def _kinds(own: EncoderConfig, count: int | None, layers: Layers | None) -> dict[str, list[str] | None]:
    """The attention of each block: by the pattern of the family, or that of the blocks that they are copies of."""
    if count is None or layers is None or not isinstance(own, ModernBertConfig):
        return {}
    pattern = replace(own, layer_types=None).kinds == own.kinds
    if pattern and layers != "identity":
        return {"layer_types": None}
    sources = (LAYERS[layers](layer, own.num_hidden_layers, count) for layer in range(count))
    return {"layer_types": [own.kinds[source] for source in sources]}


def _decoder(config: EncoderConfig) -> str:
    """Whether the decoder of masked tokens is tied to the word embeddings, behind a norm of its head or ``bare``."""
    if not getattr(config, "tie_word_embeddings", True):
        return "own"
    return "tied" if getattr(config, "masked_lm_transform", True) else "bare"


def grow_model(
    state: Mapping[str, Tensor], old: EncoderConfig, new: EncoderConfig, layers: Layers | None, width: Width | None
) -> dict[str, Tensor]:
    """The state of a large model from that of a small one.

    Layers: ``stack`` puts the stack on itself (Gong et al. 2019, section 3), ``interleave`` puts each layer's copies
    behind it, ``scale`` takes the layer at the same height (Rae et al. 2021, appendix G.3; ModernBERT-large), and
    ``identity`` interleaves copies that add nothing to the hidden states at first (Wu et al. 2024, LLaMA Pro, section
    3.2): the function is kept.

    Width: ``tile`` has the small matrices in the middle of the large ones, and repeats them around it (Warner et al.
    2024, appendix A.2). ``split`` has each unit several times, and shares the weights of what reads it out among the
    copies, unevenly, so that they do not stay equal: the function is kept (Net2Net, Chen et al. 2016, section 3.2;
    bert2BERT, Chen et al. 2022, section 3.2).

    Args:
        state: under our names; parameters of no known part are left as they are.
        old: of the small model.
        new: as ``grown_shape`` gives it.
        layers: how layers are added.
        width: how they are made wider.
    """
    deep = _deeper(state, old, new, layers) if layers is not None else dict(state)
    return _wider(deep, old, new, width) if width is not None else deep


def _deeper(state: Mapping[str, Tensor], old: EncoderConfig, new: EncoderConfig, layers: Layers) -> dict[str, Tensor]:
    blocks: dict[int, dict[str, Tensor]] = {}
    grown = {name: tensor for name, tensor in state.items() if not BLOCK.fullmatch(name)}
    for name, tensor in state.items():
        if match := BLOCK.fullmatch(name):
            blocks.setdefault(int(match[2]), {})[match[3]] = tensor
    before: set[int] = set()
    for layer in range(new.num_hidden_layers):
        source = LAYERS[layers](layer, old.num_hidden_layers, new.num_hidden_layers)
        block = {**_first_norm(old), **blocks[source]} if layer else blocks[source]
        for name, tensor in block.items():
            silent = layers == "identity" and source in before and ".output." in name
            grown[f"encoder.blocks.{layer}.{name}"] = torch.zeros_like(tensor) if silent else tensor.clone()
        before.add(source)
    return grown


def _first_norm(config: EncoderConfig) -> dict[str, Tensor]:
    """A new norm, for copies of a first block that alone has none before its attention, as ModernBERT's."""
    if not isinstance(config, ModernBertConfig) or not config.pre_norm or config.first_norm:
        return {}
    norm = {"attention_norm.weight": torch.ones(config.hidden_size)}
    return {**norm, "attention_norm.bias": torch.zeros(config.hidden_size)} if config.norm_bias else norm


def _wider(state: Mapping[str, Tensor], old: EncoderConfig, new: EncoderConfig, width: Width) -> dict[str, Tensor]:
    axes = _axes(old, new, width)
    tied = width == "split" and _decoder(old) == "tied"
    grown = {}
    for name, tensor in state.items():
        kinds = next((kinds for end, kinds in AXES.items() if re.search(rf"({end})$", name)), ())
        for number, kind in enumerate(kinds):
            if kind and len(kinds) == tensor.ndim:
                axis, reads = axes[kind.removeprefix("of ")], kind.startswith("of ")
                tensor = tensor.index_select(number, axis.source)
                if width == "split" and (reads or (tied and DECODED.match(name))):
                    tensor = tensor * axis.shares.view([-1 if each == number else 1 for each in range(tensor.ndim)])
        grown[name] = tensor
    return grown


def _axes(old: EncoderConfig, new: EncoderConfig, width: Width) -> dict[str, Axis]:
    assert isinstance(old, BertConfig | ModernBertConfig)
    assert isinstance(new, BertConfig | ModernBertConfig)
    size = old.hidden_size // old.num_attention_heads
    heads = _axis(old.num_attention_heads, new.num_attention_heads, width)
    of_heads = Axis((heads.source[:, None] * size + torch.arange(size)).flatten(), heads.shares.repeat_interleave(size))
    hidden = _axis(old.hidden_size, new.hidden_size, width)
    wide = _axis(old.intermediate_size, new.intermediate_size, width)
    return {
        "hidden": hidden,
        "heads": of_heads,
        "query_key_value": of_heads.repeated(3),
        "wide": wide,
        "intermediate": wide.repeated(2 if getattr(old, "gated_mlp", False) else 1),
    }


def _axis(old: int, new: int, width: Width) -> Axis:
    offset = (new - old) // 2 if width == "tile" else 0
    source = (torch.arange(new) - offset) % old
    drawn = 0.5 + torch.rand(new)
    return Axis(source, drawn / torch.zeros(old).index_add_(0, source, drawn)[source])
