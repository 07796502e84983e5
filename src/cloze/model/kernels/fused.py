"""The kernels that attention runs on, by name; all of them static in shape and without a wait for the device.

``triton``: our own, over blocks of the stream, on CUDA in half precision, with dropout.
``varlen``: torch's flash attention over sequences of different lengths, on CUDA in half precision, without dropout.
``sdpa``: torch's fused attention on blocks of the stream, on any device, in any precision, with dropout.

A kernel that cannot honour what it is asked for raises; none ignores it. Legend for shapes: see ``cloze.batch``.
"""

import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed
from cloze.errors import InputError
from cloze.model.kernels.dropout import draw_key

HALF = (torch.bfloat16, torch.float16)
HAS_TRITON = importlib.util.find_spec("triton") is not None


def triton(qkv: Tensor, packed: Packed, dropout: float) -> Tensor:
    """(N, 3, H, K) -> (N, H, K); zeros for tokens after the last sequence.

    Raises:
        InputError: not on CUDA, not in half precision, without triton, or K is no power of two from 16 to 128.
    """
    if not suits_triton(qkv.device, qkv.dtype, qkv.shape[-1]):
        raise InputError(
            f"attention=triton: needs CUDA in bf16 or fp16, the package triton, and heads of 16, 32, 64 or 128, not "
            f"{qkv.device.type} in {qkv.dtype} with heads of {qkv.shape[-1]}; take attention=auto"
        )
    from cloze.model.kernels.triton_attention import packed_attention  # imported here: builds without CUDA lack triton

    begins, ends = _bounds_of_token(packed, len(qkv))
    key = draw_key(qkv.device) if dropout else packed.cu_seqlens[:2]  # any two numbers
    mixed: Tensor = packed_attention(qkv, begins, ends, key, dropout, packed.max_seqlen)[0]
    return mixed


def suits_triton(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether our own kernel serves these heads here."""
    return device.type == "cuda" and dtype in HALF and head_size in (16, 32, 64, 128) and HAS_TRITON


def _bounds_of_token(packed: Packed, tokens: int) -> tuple[Tensor, Tensor]:
    """(tokens,) int32 each: where each token's sequence begins and ends; it ends at 0 after the last sequence."""
    bounds = F.pad(packed.cu_seqlens, (0, 1))
    sequence = sequence_of_token(packed, tokens)
    return bounds[sequence - 1], bounds[sequence]


def varlen(qkv: Tensor, packed: Packed, dropout: float) -> Tensor:
    """(N, 3, H, K) -> (N, H, K).

    Raises:
        ValueError: not on CUDA, not in half precision, or with dropout.
    """
    if qkv.device.type != "cuda" or qkv.dtype not in HALF:
        raise ValueError(
            f"attention=varlen: torch's flash kernel needs CUDA in bf16 or fp16, not {qkv.device.type} in {qkv.dtype}; "
            "take attention=auto"
        )
    if dropout:
        raise ValueError(f"attention=varlen: torch's flash kernel has no dropout, but it is {dropout}; take sdpa")
    from torch.nn.attention.varlen import varlen_attn  # imported here: builds without CUDA may lack it

    query, key, value = qkv.unbind(1)
    longest = packed.max_seqlen
    # The seven arguments that torch 2.11 has, by position: later versions add keywords.
    mixed = varlen_attn(query, key, value, packed.cu_seqlens, packed.cu_seqlens, longest, longest)
    assert isinstance(mixed, Tensor)  # a tuple only where the log-sum-exp is asked for
    return mixed


def sdpa(qkv: Tensor, packed: Packed, dropout: float) -> Tensor:
    """(N, 3, H, K) -> (N, H, K); zeros for tokens after the last sequence.

    The stream is split into blocks of T tokens. No sequence is longer, so the keys of a query are in its own block or
    the two next to it: 3 T keys a query, whatever the number of sequences, where rows padded to T would need room for
    as many sequences as there could ever be.
    """
    tokens, longest = len(qkv), packed.max_seqlen
    blocks = -(-tokens // longest)
    sequence = sequence_of_token(packed, blocks * longest).unflatten(0, (blocks, longest))
    filled = F.pad(qkv, (0, 0, 0, 0, 0, 0, 0, blocks * longest - tokens))
    query, key, value = filled.unflatten(0, (blocks, longest)).transpose(1, 3).unbind(2)  # (blocks, H, T, K)
    same = sequence.unsqueeze(2) == _with_neighbours(sequence, 1, fill=-1).unsqueeze(1)  # (blocks, T, 3 T)
    mixed = F.scaled_dot_product_attention(
        query, _with_neighbours(key, 2), _with_neighbours(value, 2), attn_mask=same.unsqueeze(1), dropout_p=dropout
    )
    mixed = mixed.transpose(1, 2).flatten(0, 1)[:tokens]  # (N, H, K)
    return torch.where(in_a_sequence(packed, tokens)[:, None, None], mixed, 0)


def _with_neighbours(blocks: Tensor, dim: int, fill: int = 0) -> Tensor:
    """Each block with the one before and the one after it, side by side along ``dim``."""
    edge = torch.full_like(blocks[:1], fill)
    padded = torch.cat([edge, blocks, edge])
    return torch.cat([padded[:-2], blocks, padded[2:]], dim)


def sequence_of_token(packed: Packed, tokens: int) -> Tensor:
    """(tokens,) the number of each token's sequence; all tokens after the last sequence have one number, too."""
    places = torch.arange(tokens, device=packed.cu_seqlens.device, dtype=packed.cu_seqlens.dtype)
    return torch.searchsorted(packed.cu_seqlens, places, right=True)


def in_a_sequence(packed: Packed, tokens: int) -> Tensor:
    """(tokens,) false after the last sequence."""
    return torch.arange(tokens, device=packed.cu_seqlens.device) < packed.cu_seqlens[-1]


KERNELS: dict[str, Callable[[Tensor, Packed, float], Tensor]] = {"triton": triton, "varlen": varlen, "sdpa": sdpa}
