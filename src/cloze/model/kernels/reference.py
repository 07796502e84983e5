"""CPU attention with gradients: sequences of equal length share one call.

With a window, a long sequence is split into blocks as long as the window is wide, each of which meets its own keys and
those of its two neighbours: time and memory grow linearly in the length. Legend for shapes: see ``cloze.batch``.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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


def reference(qkv: Tensor, packed: Packed, dropout: float, window: int | None = None) -> Tensor:
    """(N, 3, H, K) -> (N, H, K); zeros for tokens after the last sequence.

    Args:
        qkv: queries, keys and values.
        packed: the sequences.
        dropout: the share of the probabilities that are dropped.
        window: how far a token sees to either side, ``|i - j| <= window``; None for all of its sequence.
    """
    if dropout and is_hashable(qkv):
        with torch.autocast("cpu", enabled=False):  # in fp32: one head's matrices are too small to gain from 16 bits
            mixed = _DroppedAttention.apply(qkv.float(), packed, dropout, window)  # type: ignore[no-untyped-call]
            return mixed.to(qkv.dtype)  # type: ignore[no-any-return]
    if not dropout and qkv.is_cpu:
        return _PlainAttention.apply(qkv, packed, window)  # type: ignore[no-untyped-call,no-any-return]
    parts = []
    end = 0
    for start, count, length in equal_lengths(packed.cu_seqlens):
        end = start + count * length
        query, key, value = (_heads(part, count) for part in qkv[start:end].unbind(1))  # (count, H, T, K)
        seen = band(length, window, qkv)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        parts.append(mixed.movedim(-2, 1).flatten(0, 1))  # (count * T, H, K)
    parts.append(torch.zeros_like(qkv[end:, 0]))
    return torch.cat(parts)


def band(length: int, window: int | None, like: Tensor) -> Tensor | None:
    """(T, T) to be added to scores: 0 where tokens see each other, else minus infinity; None where all do."""
    if window is None or length <= window + 1:
        return None
    places = torch.arange(length, device=like.device)
    near = (places[:, None] - places).abs() <= window
    return torch.zeros(length, length, dtype=like.dtype, device=like.device).masked_fill_(~near, -math.inf)


MIN_BLOCK = 32
"""Tokens of a block: smaller products take longer a token."""


class _Group(NamedTuple):
    """Neighbouring sequences of one length, computed as wholes.

    Attributes:
        tokens: of the stream.
        sequences: G.
        window: of the attention.
    """

    tokens: slice
    sequences: int
    window: int | None

    def operands(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys and values, (G, H, T, K) each, views; and what is added to their scores."""
        query, key, value = (_heads(part, self.sequences) for part in qkv[self.tokens].unbind(1))
        return query, key, value, band(query.shape[2], self.window, qkv)

    def queries(self, part: Tensor) -> Tensor:
        """(G * T, H, K) -> (G, H, T, K)."""
        return _heads(part, self.sequences)

    def stream(self, mixed: Tensor) -> Tensor:
        """(G, H, T, K) -> (G * T, H, K)."""
        return mixed.transpose(1, 2).flatten(0, 1)

    def keep(self, grad_qkv: Tensor, parts: Sequence[Tensor]) -> None:
        """The gradients of ``operands``, where they belong."""
        for there, part in zip(grad_qkv[self.tokens].unbind(1), parts, strict=True):
            there.copy_(self.stream(part))


class _Blocks(NamedTuple):
    """One sequence in G blocks of C tokens, at least as many as its window, each with its keys and its neighbours'.

    Attributes:
        tokens: of the stream.
        length: T, their number.
        window: of the attention.
        size: C.
    """

    tokens: slice
    length: int
    window: int
    size: int

    @property
    def blocks(self) -> int:
        """G."""
        return -(-self.length // self.size)

    def operands(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries (G, H, C, K), keys and values (G, H, 3 C, K), and what is added to their scores."""
        query, key, value = qkv[self.tokens].unbind(1)
        return self.queries(query), self._shared(key), self._shared(value), self._seen(qkv.dtype)

    def queries(self, part: Tensor) -> Tensor:
        """(T, H, K) -> (G, H, C, K)."""
        filled = F.pad(part, (0, 0, 0, 0, 0, self.blocks * self.size - self.length))
        return filled.unflatten(0, (self.blocks, self.size)).transpose(1, 2)  # type: ignore[no-any-return]

    def _shared(self, part: Tensor) -> Tensor:
        """(T, H, K) -> (G, H, 3 C, K), a view of a filled copy."""
        behind = (self.blocks + 1) * self.size - self.length
        return F.pad(part, (0, 0, 0, 0, self.size, behind)).unfold(0, 3 * self.size, self.size).movedim(-1, -2)

    def _seen(self, dtype: torch.dtype) -> Tensor:
        """(G, 1, C, 3 C); a query behind the sequence sees itself, so that none is NaN."""
        block = torch.arange(self.blocks)[:, None, None] * self.size
        query = block + torch.arange(self.size)[:, None]
        key = block + torch.arange(-self.size, 2 * self.size)
        near = ((query - key).abs() <= self.window) & (key >= 0) & ((key < self.length) | (key == query))
        return torch.zeros(near.shape, dtype=dtype).masked_fill_(~near, -math.inf)[:, None]

    def stream(self, mixed: Tensor) -> Tensor:
        """(G, H, C, K) -> (T, H, K)."""
        return mixed.transpose(1, 2).flatten(0, 1)[: self.length]

    def keep(self, grad_qkv: Tensor, parts: Sequence[Tensor]) -> None:
        """The gradients of ``operands``, where they belong: those of shared keys and values are added up."""
        own, *shared = parts
        query, *others = grad_qkv[self.tokens].unbind(1)
        query.copy_(self.stream(own))
        for there, part in zip(others, shared, strict=True):
            before, total, after = part.unflatten(2, (3, self.size)).unbind(2)  # (G, H, C, K) each
            total = total.contiguous()
            total[:-1] += before[1:]
            total[1:] += after[:-1]
            there.copy_(self.stream(total))


def _groups(packed: Packed, window: int | None) -> Iterator[_Group | _Blocks]:
    """The sequences as they are computed: in blocks where they have more than three of them."""
    for start, count, length in equal_lengths(packed.cu_seqlens):
        size = max(window or 0, MIN_BLOCK)
        if window is None or length <= 3 * size:
            yield _Group(slice(start, start + count * length), count, window)
        else:
            for begin in range(start, start + count * length, length):
                yield _Blocks(slice(begin, begin + length), length, window, size)


class _PlainAttention(torch.autograd.Function):
    """Without dropout: torch's flash attention for CPUs, whose gradients land in one tensor whatever the groups."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, packed: Packed, window: int | None) -> Tensor:
        out = torch.zeros_like(qkv[:, 0])
        ctx.groups, saved = list(_groups(packed, window)), [qkv]
        for group in ctx.groups:
            query, key, value, seen = group.operands(qkv)
            mixed, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, attn_mask=seen
            )
            out[group.tokens] = group.stream(mixed)
            saved += [mixed, log_sums]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        qkv, *saved = ctx.saved_tensors
        grad_qkv = torch.zeros_like(qkv)
        for i, group in enumerate(ctx.groups):
            query, key, value, seen = group.operands(qkv)
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                group.queries(grad[group.tokens]), query, key, value, *saved[2 * i : 2 * i + 2], 0.0, False,
                attn_mask=seen,
            )  # fmt: skip
            group.keep(grad_qkv, parts)
        return grad_qkv, None, None


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
    def forward(ctx: Any, qkv: Tensor, packed: Packed, dropout: float, window: int | None) -> Tensor:
        out = torch.zeros_like(qkv[:, 0])
        ctx.scale = 1.0 / math.sqrt(qkv.shape[-1])
        ctx.shape = qkv.shape
        heads = qkv.shape[-2]
        ctx.groups, ctx.masks, saved = list(_groups(packed, window)), [], []
        for group in ctx.groups:
            *parts, seen = group.operands(qkv)
            query, key, value = (part.flatten(0, 1).contiguous() for part in parts)  # (G * H, t, K)
            scores = torch.baddbmm(query.new_empty(()), query, key.mT, beta=0, alpha=ctx.scale)  # (G * H, t, t')
            if seen is not None:
                scores.unflatten(0, (-1, heads)).add_(seen)
            probs = scores.softmax(-1)
            mask = Mask(dropout)
            mixed = mask.apply(probs, out=scores) @ value  # (G * H, t, K)
            out[group.tokens] = group.stream(mixed.unflatten(0, (-1, heads)))
            ctx.masks.append(mask)
            saved += [query, key, value, probs]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        grad_qkv = grad.new_zeros(ctx.shape)
        saved = ctx.saved_tensors
        for i, (group, mask) in enumerate(zip(ctx.groups, ctx.masks, strict=True)):
            query, key, value, probs = saved[4 * i : 4 * i + 4]
            grad_mixed = group.queries(grad[group.tokens]).flatten(0, 1).contiguous()
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
        return grad_qkv, None, None, None
