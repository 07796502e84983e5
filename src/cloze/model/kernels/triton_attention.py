"""Triton attention over packed tokens with dropout, tuned for the sequence lengths of BERT.

Flash attention (Dao et al. 2022, algorithms 1 and 4; Dao 2023) goes over each sequence for itself, in a grid with room
for as many sequences as there could ever be, and adds up the gradient of the queries in memory: on sequences of some
hundred tokens that takes longer than the products. Here the grid goes over blocks of the stream, whatever the sequences
are: a block meets the keys from where the sequence of its first token begins to where that of its last one ends. The
backward pass is one kernel, in which a block makes its own gradients of queries, keys and values.

Dropout is decided by the hash of ``cloze.model.kernels.dropout``, so that no mask is kept. The benchmark of the tilings
is ``python -m benchmarks.gpu.attention --tilings``. Legend for shapes: see ``cloze.batch``.
"""

# mypy: disable-error-code="no-untyped-def"
# Triton evaluates the annotations of its kernels, and knows none but its own.

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = math.log2(math.e)


class Tiling(NamedTuple):
    """The block sizes of a kernel: its own tokens, those that it meets at once, and what runs one of its programs."""

    rows: int
    columns: int
    warps: int
    stages: int


FORWARD = Tiling(64, 64, 4, 2)
BACKWARD = Tiling(64, 64, 4, 2)


@triton.jit
def _keeps(index, low, high, threshold):
    """The rule of ``cloze.model.kernels.dropout.keeps``."""
    x = index ^ low
    x ^= x >> 16
    x *= 0x7FEB352D
    x ^= x >> 15
    x *= 0x846CA68B
    x ^= x >> 16
    x += high
    x ^= x >> 16
    x *= 0x7FEB352D
    x ^= x >> 15
    x *= 0x846CA68B
    x ^= x >> 16
    return x >= threshold


@triton.jit
def _rows(base, row, stride, column, wanted):
    """(rows, K) of a matrix whose rows lie ``stride`` apart; zeros where they are not wanted."""
    places = row.to(tl.int64)[:, None] * stride + column[None, :]
    return tl.load(base + places, mask=wanted[:, None], other=0.0)


@triton.jit
def _forward(
    qkv, begins, ends, key, out, log_sums,
    tokens, longest, scale, threshold, kept,
    HEADS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DROPS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = row < tokens
    column = tl.arange(0, SIZE)
    stride = 3 * HEADS * SIZE
    queries, keys = qkv + head * SIZE, qkv + (HEADS + head) * SIZE
    begin = tl.load(begins + row, mask=inside, other=tokens)
    end = tl.load(ends + row, mask=inside, other=0)
    low, high = tl.load(key).to(tl.uint32), tl.load(key + 1).to(tl.uint32)
    query = _rows(queries, row, stride, column, inside)
    top = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, SIZE), tl.float32)
    last = tl.max(end)
    for start in range(tl.min(begin), last, COLUMNS):
        other = start + tl.arange(0, COLUMNS)
        there = other < last
        score = tl.dot(query, tl.trans(_rows(keys, other, stride, column, there))) * scale
        same = (other[None, :] >= begin[:, None]) & (other[None, :] < end[:, None])
        score = tl.where(same, score, -float("inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        shift = tl.where(higher == -float("inf"), 0.0, higher)  # rows that have met no key yet
        prob = tl.exp2(score - shift[:, None])
        shrink = tl.exp2(top - shift)
        total = total * shrink + tl.sum(prob, 1)
        if DROPS:
            index = (row * HEADS + head)[:, None] * longest + (other[None, :] - begin[:, None])
            prob = tl.where(_keeps(index.to(tl.uint32), low, high, threshold), prob, 0.0)
        value = _rows(keys + HEADS * SIZE, other, stride, column, there)
        mixed = mixed * shrink[:, None] + tl.dot(prob.to(value.dtype), value)
        top = higher
    found = total > 0
    mixed *= (kept / tl.where(found, total, 1.0))[:, None]
    places = (row.to(tl.int64) * HEADS + head)[:, None] * SIZE + column[None, :]
    tl.store(out + places, mixed.to(out.dtype.element_ty), mask=inside[:, None])
    log_sum = tl.where(found, top + tl.log2(tl.where(found, total, 1.0)), float("inf"))
    tl.store(log_sums + head * tokens + row, log_sum, mask=inside)


@triton.jit
def _backward(
    qkv, begins, ends, key, out, log_sums, grad, grad_qkv,
    tokens, longest, scale, scale_2, threshold, kept,
    HEADS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DROPS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = row < tokens
    column = tl.arange(0, SIZE)
    wide, narrow = 3 * HEADS * SIZE, HEADS * SIZE  # from a token to the next
    queries = qkv + head * SIZE
    keys, values = queries + narrow, queries + 2 * narrow
    outs, grads, log_sums = out + head * SIZE, grad + head * SIZE, log_sums + head * tokens
    begin = tl.load(begins + row, mask=inside, other=tokens)
    end = tl.load(ends + row, mask=inside, other=0)
    low, high = tl.load(key).to(tl.uint32), tl.load(key + 1).to(tl.uint32)
    own_query, own_key = _rows(queries, row, wide, column, inside), _rows(keys, row, wide, column, inside)
    own_value, own_grad = _rows(values, row, wide, column, inside), _rows(grads, row, narrow, column, inside)
    own_out = _rows(outs, row, narrow, column, inside)
    own_dot = tl.sum(own_out.to(tl.float32) * own_grad.to(tl.float32), 1)
    own_log_sum = tl.load(log_sums + row, mask=inside, other=float("inf"))
    grad_query = tl.zeros((ROWS, SIZE), tl.float32)
    grad_key = tl.zeros((ROWS, SIZE), tl.float32)
    grad_value = tl.zeros((ROWS, SIZE), tl.float32)
    last = tl.max(end)
    for start in range(tl.min(begin), last, COLUMNS):
        other = start + tl.arange(0, COLUMNS)
        there = other < last
        same = (other[None, :] >= begin[:, None]) & (other[None, :] < end[:, None])
        away = other[None, :] - begin[:, None]  # of a key from the beginning, where the query is a row
        query, its_key = _rows(queries, other, wide, column, there), _rows(keys, other, wide, column, there)
        value, its_grad = _rows(values, other, wide, column, there), _rows(grads, other, narrow, column, there)
        # Own queries with the others' keys
        prob = tl.exp2(tl.dot(own_query, tl.trans(its_key)) * scale_2 - own_log_sum[:, None])
        grad_prob = tl.dot(own_grad, tl.trans(value))
        if DROPS:
            index = (row * HEADS + head)[:, None] * longest + away
            grad_prob = tl.where(_keeps(index.to(tl.uint32), low, high, threshold), grad_prob * kept, 0.0)
        grad_score = tl.where(same, prob * (grad_prob - own_dot[:, None]), 0.0)
        grad_query += tl.dot(grad_score.to(its_key.dtype), its_key)
        # Own keys and values with the others' queries
        its_out = _rows(outs, other, narrow, column, there)
        dot = tl.sum(its_out.to(tl.float32) * its_grad.to(tl.float32), 1)
        log_sum = tl.load(log_sums + other, mask=there, other=float("inf"))
        prob = tl.exp2(tl.dot(own_key, tl.trans(query)) * scale_2 - log_sum[None, :])
        prob = tl.where(same, prob, 0.0)
        grad_prob = tl.dot(own_value, tl.trans(its_grad))
        dropped = prob
        if DROPS:
            its_begin = tl.load(begins + other, mask=there, other=0)
            index = (other * HEADS + head)[None, :] * longest + (row[:, None] - its_begin[None, :])
            keep = _keeps(index.to(tl.uint32), low, high, threshold)
            grad_prob = tl.where(keep, grad_prob * kept, 0.0)
            dropped = tl.where(keep, prob * kept, 0.0)
        grad_value += tl.dot(dropped.to(its_grad.dtype), its_grad)
        grad_score = prob * (grad_prob - dot[None, :])
        grad_key += tl.dot(grad_score.to(query.dtype), query)
    places = row.to(tl.int64)[:, None] * wide + head * SIZE + column[None, :]
    dtype = grad_qkv.dtype.element_ty
    tl.store(grad_qkv + places, (grad_query * scale).to(dtype), mask=inside[:, None])
    tl.store(grad_qkv + narrow + places, (grad_key * scale).to(dtype), mask=inside[:, None])
    tl.store(grad_qkv + 2 * narrow + places, grad_value.to(dtype), mask=inside[:, None])


def _rule(dropout: float) -> tuple[int, float]:
    """The threshold of the hash, and what is kept is multiplied by."""
    return round(dropout * 2**32), 1.0 / (1.0 - dropout)


@torch.library.custom_op("cloze::packed_attention", mutates_args=())
def packed_attention(
    qkv: Tensor, begins: Tensor, ends: Tensor, key: Tensor, dropout: float, longest: int
) -> tuple[Tensor, Tensor]:
    """Softmax attention within each sequence.

    Args:
        qkv: (N, 3, H, K) in 16 bits, K a power of two from 16.
        begins: (N,) int32, for each token the first one that it sees: of its sequence, or of a window in it, which
            has to reach as far to either side.
        ends: (N,) int32, and the one after the last; 0 for tokens in no sequence, which get zeros.
        key: (2,) int32, random; decides which probabilities are dropped.
        dropout: their share.
        longest: no sequence has more tokens.

    Returns:
        (N, H, K), and (H, N) fp32: the base-2 logarithm of each row's sum, for the backward pass.
    """
    qkv = qkv.contiguous()
    tokens, _, heads, size = qkv.shape
    out = torch.empty(tokens, heads, size, dtype=qkv.dtype, device=qkv.device)
    log_sums = torch.empty(heads, tokens, dtype=torch.float32, device=qkv.device)
    threshold, kept = _rule(dropout)
    _forward[heads, triton.cdiv(tokens, FORWARD.rows)](
        qkv, begins, ends, key, out, log_sums, tokens, longest, LOG2_E / math.sqrt(size), threshold, kept,
        heads, size, FORWARD.rows, FORWARD.columns, dropout > 0, num_warps=FORWARD.warps, num_stages=FORWARD.stages,
    )  # fmt: skip
    return out, log_sums


@torch.library.custom_op("cloze::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    grad: Tensor, qkv: Tensor, begins: Tensor, ends: Tensor, key: Tensor, out: Tensor, log_sums: Tensor,
    dropout: float, longest: int,
) -> Tensor:  # fmt: skip
    """From the gradient (N, H, K) of what ``packed_attention`` returned to that of its queries, keys and values."""
    grad, qkv = grad.contiguous(), qkv.contiguous()
    tokens, _, heads, size = qkv.shape
    grad_qkv = torch.empty_like(qkv)
    threshold, kept = _rule(dropout)
    scale = 1.0 / math.sqrt(size)
    _backward[heads, triton.cdiv(tokens, BACKWARD.rows)](
        qkv, begins, ends, key, out, log_sums, grad, grad_qkv,
        tokens, longest, scale, LOG2_E * scale, threshold, kept,
        heads, size, BACKWARD.rows, BACKWARD.columns, dropout > 0, num_warps=BACKWARD.warps, num_stages=BACKWARD.stages,
    )  # fmt: skip
    return grad_qkv


@packed_attention.register_fake
def _(qkv: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    tokens, heads, size = qkv[:, 0].shape
    return qkv.new_empty(tokens, heads, size), qkv.new_empty(heads, tokens, dtype=torch.float32)


@packed_attention_backward.register_fake
def _(_grad: Tensor, qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(qkv.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, begins, ends, key, ctx.dropout, ctx.longest = inputs
    ctx.save_for_backward(qkv, begins, ends, key, *output)


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    grad_qkv = packed_attention_backward(grad, *ctx.saved_tensors, ctx.dropout, ctx.longest)
    return grad_qkv, None, None, None, None, None


packed_attention.register_autograd(_gradients, setup_context=_remember)
