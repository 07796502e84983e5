"""Who looks at whom: the attention of every layer and head, for pictures. Legend for shapes: see ``cloze.batch``.

The kernels of attention never hold these probabilities; here they come from the same parameters.
"""

import math

import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.model.bert import BertBlock
from cloze.model.encoder import Encoder


def attention_maps(encoder: Encoder, packed: Packed) -> list[Tensor]:
    """The probabilities with which each token mixes the others (Vaswani et al. 2017, equation 1).

    Args:
        encoder: in evaluation mode.
        packed: one sequence of T tokens.

    Returns:
        One tensor a layer, lowest first, (H, T, T) in fp32: of each head, a row for the token that looks and a column
        for the token that is looked at. Rows sum to 1.

    Raises:
        ValueError: there is more than one sequence, whose tokens do not see each other.
    """
    if len(packed.cu_seqlens) != 2:
        raise ValueError(f"attention_maps: takes one sequence, but was given {len(packed.cu_seqlens) - 1}")
    states = encoder.hidden_states(packed)
    maps = []
    for block, hidden in zip(encoder.blocks, states[:-1], strict=True):
        assert isinstance(block, BertBlock)
        attention = block.attention
        qkv = attention.query_key_value(hidden).unflatten(-1, (3, attention.num_attention_heads, -1))  # (T, 3, H, K)
        query, key = qkv[:, 0].transpose(0, 1).float(), qkv[:, 1].transpose(0, 1).float()  # (H, T, K)
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        maps.append(torch.softmax(scores, dim=-1))
    return maps
