"""Rotary position embeddings (Su et al. 2021, section 3.2).

Dimension i turns with dimension i + K / 2, as in Llama and ModernBERT. Legend for shapes: see ``cloze.batch``.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from cloze.model.kernels.dropout import FloatArray, flat, is_hashable, on_all_threads
from cloze.model.kernels.remembered import remembered
from cloze.model.rope import Scaling
from cloze.runtime.compiled import compiled


def rotation(positions: Tensor, size: int, theta: float, scaling: Scaling | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles of each position, (..., K / 2) fp32 each; of the same tensor the same ones.

    Args:
        positions: (...,) integers.
        size: K, even.
        theta: the base of the wavelengths: dimension i turns by ``theta ** (-2 i / K)`` from one position to the next.
        scaling: how the positions are stretched.
    """
    key = ("rotation", size, theta, scaling)
    return remembered(positions, key, lambda: _rotation(positions, size, theta, scaling))


def _rotation(positions: Tensor, size: int, theta: float, scaling: Scaling | None) -> tuple[Tensor, Tensor]:
    speeds = 1.0 / theta ** (torch.arange(0, size, 2, device=positions.device).float() / size)
    factor = 1.0
    if scaling is not None:
        speeds, factor = stretched(speeds, theta, scaling), scaling.attention_factor
    angles = positions[..., None].float() * speeds
    return (angles.cos(), angles.sin()) if factor == 1.0 else (angles.cos() * factor, angles.sin() * factor)


def stretched(speeds: Tensor, theta: float, scaling: Scaling) -> Tensor:
    """(K / 2,) slower speeds of the dimensions: all by the factor, or with YaRN those that turn seldom."""
    if scaling.original is None:
        return speeds / scaling.factor
    low, high = scaling.ramp(2 * len(speeds), theta)
    slowed = ((torch.arange(len(speeds), device=speeds.device) - low) / (high - low)).clamp(0, 1)
    return speeds / scaling.factor * slowed + speeds * (1 - slowed)


def rotated(qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the queries and the keys; values stay as they are.

    Args:
        qkv: (..., 3, H, K).
        cos: (..., K / 2).
        sin: the same.

    Returns:
        (..., 3, H, K) of the type of ``qkv``; the products are in fp32.
    """
    if qkv.dtype == torch.float32 and is_hashable(qkv):
        return _Rotated.apply(qkv, cos, sin)  # type: ignore[no-any-return,no-untyped-call]
    cos, sin = cos[..., None, None, :], sin[..., None, None, :]
    first, second = qkv[..., :2, :, :].float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.to(qkv.dtype), qkv[..., 2:, :, :]], dim=-3)


@compiled(parallel=True, fastmath={"contract"})
def _rotate(x: FloatArray, cos: FloatArray, sin: FloatArray, out: FloatArray, sign: np.float32) -> None:
    """Of each token the 2 H pairs of halves; the rest of its row is copied."""
    half = cos.shape[1]
    heads = x.shape[1] // (6 * half)
    for token in numba.prange(x.shape[0]):
        for head in range(2 * heads):
            begin = 2 * head * half
            for i in range(half):
                first, second = x[token, begin + i], x[token, begin + half + i]
                c, s = cos[token, i], sign * sin[token, i]
                out[token, begin + i] = first * c - second * s
                out[token, begin + half + i] = second * c + first * s
        for i in range(4 * heads * half, x.shape[1]):
            out[token, i] = x[token, i]


class _Rotated(torch.autograd.Function):
    """On a CPU in fp32 in one pass over memory; the gradient is turned back."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(qkv, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, sin, -1), None, None


def _turned(qkv: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    qkv = qkv.contiguous()
    out, half, width = torch.empty_like(qkv), cos.shape[-1], qkv.shape[-3:].numel()
    rows = [flat(each.contiguous()).reshape(-1, size) for each, size in ((qkv, width), (cos, half), (sin, half))]
    on_all_threads(_rotate, *rows, flat(out).reshape(-1, width), np.float32(sign))
    return out
