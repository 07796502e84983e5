"""Attention kernels by name, with static shapes and without host-device synchronisation.

``triton``: our own, over blocks of the stream, on CUDA in half precision, with dropout.
``varlen``: torch's flash attention over sequences of different lengths, on CUDA in half precision, without dropout.
``sdpa``: torch's fused attention on blocks of the stream, on any device, in any precision, with dropout.

A kernel that cannot honour what it is asked for raises; none ignores it. Legend for shapes: see ``cloze.batch``.
"""

import functools
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed
from cloze.errors import InputError
from cloze.model.kernels.dropout import draw_key

HALF = (torch.bfloat16, torch.float16)
HAS_TRITON = importlib.util.find_spec("triton") is not None
MIN_BLOCK = 64
"""Tokens of a block of ``sdpa`` where the window is smaller."""


def triton(qkv: Tensor, packed: Packed, dropout: float, window: int | None = None) -> Tensor:
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

    begins, ends = _seen_by_token(packed, len(qkv), window)
    key = draw_key(qkv.device) if dropout else packed.cu_seqlens[:2]  # any two numbers
    mixed: Tensor = packed_attention(qkv, begins, ends, key, dropout, packed.max_seqlen)[0]
    return mixed


def suits_triton(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether our own kernel serves these heads here."""
    return device.type == "cuda" and dtype in HALF and head_size in (16, 32, 64, 128) and HAS_TRITON


def _seen_by_token(packed: Packed, tokens: int, window: int | None) -> tuple[Tensor, Tensor]:
    """(tokens,) int32 each: the first token that each one sees, and the one after the last; 0 for those that see none.

    These are the bounds of its sequence, or of the window in it.
    """
    bounds = F.pad(packed.cu_seqlens, (0, 1))
    sequence = sequence_of_token(packed, tokens)
    begins, ends = bounds[sequence - 1], bounds[sequence]
    if window is None:
        return begins, ends
    places = torch.arange(tokens, device=bounds.device, dtype=bounds.dtype)
    return torch.maximum(begins, places - window), torch.minimum(ends, places + window + 1)


@functools.cache
def varlen_has_windows() -> bool:
    """Whether torch's flash attention over sequences takes a window: since 2.13."""
    from torch.nn.attention.varlen import varlen_attn

    return "window_size" in inspect.signature(varlen_attn).parameters


def varlen(qkv: Tensor, packed: Packed, dropout: float, window: int | None = None) -> Tensor:
    """(N, 3, H, K) -> (N, H, K).

    Raises:
        ValueError: not on CUDA, not in half precision, with dropout, or with a window that this torch has not.
    """
    if qkv.device.type != "cuda" or qkv.dtype not in HALF:
        raise ValueError(
            f"attention=varlen: torch's flash kernel needs CUDA in bf16 or fp16, not {qkv.device.type} in {qkv.dtype}; "
            "take attention=auto"
        )
    if dropout:
        raise ValueError(f"attention=varlen: torch's flash kernel has no dropout, but it is {dropout}; take sdpa")
    if window is not None and not varlen_has_windows():
        raise ValueError("attention=varlen: this torch's flash kernel has no windows, which 2.13's has; take sdpa")
    from torch.nn.attention.varlen import varlen_attn  # imported here: builds without CUDA may lack it

    query, key, value = qkv.unbind(1)
    longest = packed.max_seqlen
    # The seven arguments that torch 2.11 has, by position: later versions add keywords.
    windows: dict[str, Any] = {} if window is None else {"window_size": (window, window)}
    mixed = varlen_attn(query, key, value, packed.cu_seqlens, packed.cu_seqlens, longest, longest, **windows)
    assert isinstance(mixed, Tensor)  # a tuple only where the log-sum-exp is asked for
    return mixed


def sdpa(qkv: Tensor, packed: Packed, dropout: float, window: int | None = None) -> Tensor:
    """(N, 3, H, K) -> (N, H, K); zeros for tokens after the last sequence.

    The stream is split into blocks of T tokens. No sequence, or no window, is longer, so the keys of a query are in its
    own block or the two next to it: 3 T keys a query, whatever the number of sequences, where rows padded to T would
    need room for as many sequences as there could ever be.
    """
    tokens, longest = len(qkv), packed.max_seqlen
    if window is not None:
        longest = min(longest, max(window, MIN_BLOCK))
    blocks = -(-tokens // longest)
    sequence = sequence_of_token(packed, blocks * longest).unflatten(0, (blocks, longest))
    filled = F.pad(qkv, (0, 0, 0, 0, 0, 0, 0, blocks * longest - tokens))
    query, key, value = filled.unflatten(0, (blocks, longest)).transpose(1, 3).unbind(2)  # (blocks, H, T, K)
    same = sequence.unsqueeze(2) == _with_neighbours(sequence, 1, fill=-1).unsqueeze(1)  # (blocks, T, 3 T)
    if window is not None:
        places = torch.arange(longest, device=qkv.device)
        same &= (places[:, None] + longest - torch.arange(3 * longest, device=qkv.device)).abs() <= window
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


KERNELS: dict[str, Callable[[Tensor, Packed, float, int | None], Tensor]] = {
    "triton": triton,
    "varlen": varlen,
    "sdpa": sdpa,
}
