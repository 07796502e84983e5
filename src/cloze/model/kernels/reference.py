"""CPU attention with gradients: sequences of equal length share one call.

With a window, a long sequence is split into blocks as long as the window is wide, each of which meets its own keys and
those of its two neighbours: time and memory grow linearly in the length. Legend for shapes: see ``cloze.batch``.
"""

import math
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed
from cloze.model.kernels.dropout import FloatArray, Mask, flat, is_hashable, keeps, on_all_threads
from cloze.model.kernels.groups import band, equal_lengths, groups, heads
from cloze.runtime.compiled import compiled


def reference(
    qkv: Tensor, packed: Packed, dropout: float, window: int | None = None, rows: Tensor | None = None
) -> Tensor:
    """(N, 3, H, K) -> (N, H, K), or of rows (R, H, K); zeros for tokens after the last sequence.

    Args:
        qkv: queries, keys and values.
        packed: the sequences.
        dropout: the share of the probabilities that are dropped.
        window: how far a token sees to either side, ``|i - j| <= window``; None for all of its sequence.
        rows: (R,) the tokens whose results are wanted; None for all.
    """
    if rows is not None and not (window is None and qkv.is_cpu and (is_hashable(qkv) or not dropout)):
        return reference(qkv, packed, dropout, window)[rows]
    if dropout and is_hashable(qkv):
        with torch.autocast("cpu", enabled=False):  # in fp32: one head's matrices are too small to gain from 16 bits
            mixed = _DroppedAttention.apply(qkv.float(), packed, dropout, window, rows)  # type: ignore[no-untyped-call]
            return mixed.to(qkv.dtype)  # type: ignore[no-any-return]
    if not dropout and qkv.is_cpu:
        return _PlainAttention.apply(qkv, packed, window, rows)  # type: ignore[no-untyped-call,no-any-return]
    parts = []
    end = 0
    for start, count, length in equal_lengths(packed.cu_seqlens):
        end = start + count * length
        query, key, value = (heads(part, count) for part in qkv[start:end].unbind(1))  # (count, H, T, K)
        seen = band(length, window, qkv)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        parts.append(mixed.movedim(-2, 1).flatten(0, 1))  # (count * T, H, K)
    parts.append(torch.zeros_like(qkv[end:, 0]))
    return torch.cat(parts)


class _PlainAttention(torch.autograd.Function):
    """Without dropout: torch's flash attention for CPUs, whose gradients land in one tensor whatever the groups."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, packed: Packed, window: int | None, rows: Tensor | None) -> Tensor:
        out = qkv.new_zeros(len(qkv if rows is None else rows), *qkv.shape[2:])
        ctx.groups, saved = groups(packed, window, rows), [qkv]
        for group in ctx.groups:
            query, key, value, seen = group.operands(qkv)
            mixed, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, attn_mask=seen
            )
            out[group.results] = group.stream(mixed)
            saved += [mixed, log_sums]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        qkv, *saved = ctx.saved_tensors
        grad_qkv = torch.zeros_like(qkv)
        for i, group in enumerate(ctx.groups):
            query, key, value, seen = group.operands(qkv)
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                group.queries(grad[group.results]), query, key, value, *saved[2 * i : 2 * i + 2], 0.0, False,
                attn_mask=seen,
            )  # fmt: skip
            group.keep(grad_qkv, parts)
        return grad_qkv, None, None, None


# Without "reassoc" the sum over a row would not be vectorised.
@compiled(parallel=True, fastmath={"reassoc", "contract"})
def _softmax_backward(
    probs: FloatArray, grad: FloatArray, dropped: FloatArray, key: Any, threshold: np.uint32, scale: np.float32
) -> None:
    """From the gradient of the dropped probabilities to that of the scores, in place; and the dropped ones again."""
    rows, length = probs.shape
    for r in numba.prange(rows):
        dot = np.float32(0)
        for c in range(length):
            kept = scale if keeps(np.uint32(r * length + c), key, threshold) else np.float32(0)
            dropped[r, c] = probs[r, c] * kept
            grad[r, c] *= kept
        for c in range(length):
            dot += probs[r, c] * grad[r, c]
        for c in range(length):
            grad[r, c] = probs[r, c] * (grad[r, c] - dot)


class _DroppedAttention(torch.autograd.Function):
    """With dropout, which turns torch's own kernel into its slowest path on a CPU: the probabilities are kept."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, packed: Packed, dropout: float, window: int | None, rows: Tensor | None
    ) -> Tensor:
        out = qkv.new_zeros(len(qkv if rows is None else rows), *qkv.shape[2:])
        ctx.scale = 1.0 / math.sqrt(qkv.shape[-1])
        ctx.shape = qkv.shape
        heads = qkv.shape[-2]
        ctx.groups, ctx.masks, saved = groups(packed, window, rows), [], []
        for group in ctx.groups:
            *parts, seen = group.operands(qkv)
            query, key, value = (part.flatten(0, 1).contiguous() for part in parts)  # (G * H, t, K)
            scores = torch.baddbmm(query.new_empty(()), query, key.mT, beta=0, alpha=ctx.scale)  # (G * H, t, t')
            if seen is not None:
                scores.unflatten(0, (-1, heads)).add_(seen)
            probs = scores.softmax(-1)
            mask = Mask(dropout)
            mixed = mask.apply(probs, out=scores) @ value  # (G * H, t, K)
            out[group.results] = group.stream(mixed.unflatten(0, (-1, heads)))
            ctx.masks.append(mask)
            saved += [query, key, value, probs]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        grad_qkv = grad.new_zeros(ctx.shape)
        saved = ctx.saved_tensors
        for i, (group, mask) in enumerate(zip(ctx.groups, ctx.masks, strict=True)):
            query, key, value, probs = saved[4 * i : 4 * i + 4]
            grad_mixed = group.queries(grad[group.results]).flatten(0, 1).contiguous()
            grad_scores = grad_mixed @ value.mT  # (G * H, t, t'), of the dropped probabilities until the next line
            dropped = torch.empty_like(probs)
            width = probs.shape[-1]
            on_all_threads(
                _softmax_backward,
                flat(probs).reshape(-1, width),
                flat(grad_scores).reshape(-1, width),
                flat(dropped).reshape(-1, width),
                mask.key,
                mask.threshold,
                mask.scale,
            )
            parts = (
                torch.baddbmm(query.new_empty(()), grad_scores, key, beta=0, alpha=ctx.scale),
                torch.baddbmm(query.new_empty(()), grad_scores.mT, query, beta=0, alpha=ctx.scale),
                dropped.mT @ grad_mixed,
            )
            group.keep(grad_qkv, [part.unflatten(0, (-1, ctx.shape[-2])) for part in parts])
        return grad_qkv, None, None, None, None
