"""Attention for a CPU, with its gradients: through the sequences, equal lengths that lie side by side in one call.

Legend for shapes: see ``cloze.batch``.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed
from cloze.model.kernels.dropout import FloatArray, Mask, flat, is_hashable, keeps, on_all_threads
from cloze.runtime.compiled import compiled


def equal_lengths(cu_seqlens: Tensor) -> Iterator[tuple[int, int, int]]:
    """Runs of neighbouring sequences of one length: (first token, number of sequences, length)."""
    bounds = cu_seqlens.tolist()
    start = count = length = 0
    for begin, end in itertools.pairwise(bounds):
        if end - begin != length:
            if count and length:
                yield start, count, length
            start, count, length = begin, 0, end - begin
        count += 1
    if count and length:
        yield start, count, length


def _heads(block: Tensor, count: int) -> Tensor:
    """(count * T, ..., H, K) -> (count, ..., H, T, K), a view."""
    split: Tensor = block.unflatten(0, (count, -1))  # (count, T, ..., H, K)
    return split.movedim(1, -2)


def reference(qkv: Tensor, packed: Packed, dropout: float) -> Tensor:
    """(N, 3, H, K) -> (N, H, K); zeros for tokens after the last sequence."""
    if dropout and is_hashable(qkv):
        with torch.autocast("cpu", enabled=False):  # in fp32: one head's matrices are too small to gain from 16 bits
            mixed = _DroppedAttention.apply(qkv.float(), packed, dropout)  # type: ignore[no-untyped-call]
            return mixed.to(qkv.dtype)  # type: ignore[no-any-return]
    parts = []
    end = 0
    for start, count, length in equal_lengths(packed.cu_seqlens):
        end = start + count * length
        query, key, value = (_heads(part, count) for part in qkv[start:end].unbind(1))  # (count, H, T, K)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        parts.append(mixed.movedim(-2, 1).flatten(0, 1))  # (count * T, H, K)
    parts.append(torch.zeros_like(qkv[end:, 0]))
    return torch.cat(parts)


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
    """The reference with dropout on a CPU, where any dropout turns torch's own kernel into its slowest path."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, packed: Packed, dropout: float) -> Tensor:
        qkv = qkv.contiguous()
        out = torch.zeros_like(qkv[:, 0])
        ctx.scale = 1.0 / math.sqrt(qkv.shape[-1])
        ctx.shape = qkv.shape
        ctx.groups, saved = [], []
        for start, count, length in equal_lengths(packed.cu_seqlens):
            end = start + count * length
            query, key, value = _heads(qkv[start:end], count).movedim(1, 0).flatten(1, 2).contiguous()
            scores = torch.baddbmm(query.new_empty(()), query, key.mT, beta=0, alpha=ctx.scale)  # (count * H, T, T)
            probs = scores.softmax(-1)
            mask = Mask(dropout)
            mixed = mask.apply(probs, out=scores) @ value  # (count * H, T, K)
            _heads(out[start:end], count).copy_(mixed.unflatten(0, (count, -1)))
            ctx.groups.append((start, end, count, mask))
            saved += [query, key, value, probs]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad_qkv = grad.new_zeros(ctx.shape)
        saved = ctx.saved_tensors
        for i, (start, end, count, mask) in enumerate(ctx.groups):
            query, key, value, probs = saved[4 * i : 4 * i + 4]
            grad_mixed = _heads(grad[start:end], count).flatten(0, 1).contiguous()  # (count * H, T, K)
            grad_scores = grad_mixed @ value.mT  # (count * H, T, T), of the dropped probabilities until the next line
            dropped = torch.empty_like(probs)
            length = probs.shape[-1]
            on_all_threads(
                _softmax_backward,
                flat(probs).reshape(-1, length),
                flat(grad_scores).reshape(-1, length),
                flat(dropped).reshape(-1, length),
                mask.key,
                mask.threshold,
                mask.scale,
            )
            block = _heads(grad_qkv[start:end], count)  # (count, 3, H, T, K), a view
            for part, value_ in enumerate(
                (
                    torch.baddbmm(query.new_empty(()), grad_scores, key, beta=0, alpha=ctx.scale),
                    torch.baddbmm(query.new_empty(()), grad_scores.mT, query, beta=0, alpha=ctx.scale),
                    dropped.mT @ grad_mixed,
                )
            ):
                block[:, part].copy_(value_.unflatten(0, (count, -1)))
        return grad_qkv, None, None
