"""One table between our parameter names and Hugging Face's BERT layout.

The fused query-key-value projection is the only tensor that is cut and joined.
"""

import re

import torch
from torch import Tensor

# Ours -> Hugging Face's; {} is the number of the block.
NAMES = {
    "encoder.embeddings.word_embeddings": "bert.embeddings.word_embeddings",
    "encoder.embeddings.position_embeddings": "bert.embeddings.position_embeddings",
    "encoder.embeddings.token_type_embeddings": "bert.embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.feed_forward.intermediate": "bert.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.feed_forward.output": "bert.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.feed_forward_norm": "bert.encoder.layer.{}.output.LayerNorm",
    "pooler.dense": "bert.pooler.dense",
    "masked_lm_head.dense": "cls.predictions.transform.dense",
    "masked_lm_head.norm": "cls.predictions.transform.LayerNorm",
    "next_sentence_head": "cls.seq_relationship",
}
FUSED = "encoder.blocks.{}.attention.query_key_value"
FUSED_PARTS = tuple(f"bert.encoder.layer.{{}}.attention.self.{part}" for part in ("query", "key", "value"))
DECODER_BIAS = ("masked_lm_head.decoder_bias", "cls.predictions.bias")


def to_hugging_face(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters under Hugging Face's names; the tied decoder weight is left out, as theirs leaves it."""
    theirs = {DECODER_BIAS[1]: state[DECODER_BIAS[0]]}
    for name, tensor in state.items():
        if name == DECODER_BIAS[0]:
            continue
        module, _, kind = name.rpartition(".")
        pattern, number = _numbered(module)
        if pattern == FUSED:
            for part, piece in zip(FUSED_PARTS, tensor.chunk(3), strict=True):
                theirs[f"{part.format(number)}.{kind}"] = piece
        else:
            theirs[f"{NAMES[pattern].format(number)}.{kind}"] = tensor
    return {name: tensor.contiguous() for name, tensor in theirs.items()}


def from_hugging_face(theirs: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Hugging Face's tensors under our ``names``.

    Raises:
        KeyError: the first tensor of theirs that is missing.
    """
    state = {}
    for name in names:
        if name == DECODER_BIAS[0]:
            state[name] = theirs[DECODER_BIAS[1]]
            continue
        module, _, kind = name.rpartition(".")
        pattern, number = _numbered(module)
        if pattern == FUSED:
            state[name] = torch.cat([theirs[f"{part.format(number)}.{kind}"] for part in FUSED_PARTS])
        else:
            state[name] = theirs[f"{NAMES[pattern].format(number)}.{kind}"]
    return state


def _numbered(module: str) -> tuple[str, str]:
    """'encoder.blocks.3.attention' -> ('encoder.blocks.{}.attention', '3')."""
    match = re.search(r"\.(\d+)\.", module)
    return (module.replace(match[0], ".{}.", 1), match[1]) if match else (module, "")
