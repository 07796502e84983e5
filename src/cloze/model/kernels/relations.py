"""Relations of the tokens of a sequence, and how far those of two models lie apart. Legend: see ``cloze.batch``."""

from typing import Any

import torch
from torch import Tensor

from cloze.batch import Packed

NUMBERS_AT_ONCE = 1 << 23
"""Relations that are alive together, on any device: 32 MiB in fp32, or those of one sequence."""


def in_relation_heads(vectors: Tensor, heads: int) -> Tensor:
    """Of all heads one after the other, and divided into another number of them: (N, H, K) -> (N, R, H K / R)."""
    return vectors.flatten(1).unflatten(-1, (heads, -1))  # type: ignore[no-any-return]


def relation_divergence(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], packed: Packed, num_tokens: int
) -> Tensor:
    """How far the relations of a student lie from those of its teacher, summed over tokens.

    A relation is softmax(a b^T / sqrt(K)) within a sequence: of queries with keys the attention distribution (Wang et
    al. 2020, MiniLM, equation 6), of values with values the value relation (equations 7 and 8), of either with itself
    in relation heads MiniLMv2's (Wang et al. 2021, equations 4 and 5). Of each token it is the mean over the heads of
    KL(teacher || student). The relations are made, turned into the gradient and used up a few sequences at a time, in
    the forward pass.

    Args:
        student: a and b, (N, R, K) each.
        teacher: the same, in as many heads; K may be another.
        packed: the sequences.
        num_tokens: how many of the N tokens are real; what is behind them only fills the batch.

    Returns:
        (), fp32.
    """
    with torch.autocast(student[0].device.type, enabled=False):
        vectors = [part.float() for part in (*student, *teacher)]
        found: Tensor = _RelationDivergence.apply(*vectors, packed, num_tokens)  # type: ignore[no-untyped-call]
    return found


class _RelationDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, their_a: Tensor, their_b: Tensor, packed: Packed, num_tokens: int
    ) -> Tensor:
        training, heads, scale = any(ctx.needs_input_grad), a.shape[1], a.shape[-1] ** -0.5
        loss, longest = a.new_zeros(()), packed.max_seqlen
        grad_a, grad_b = (torch.zeros_like(part) if training else part for part in (a, b))
        at_once = max(1, NUMBERS_AT_ONCE // (heads * max(1, longest) ** 2))
        for start in range(0, len(packed.cu_seqlens) - 1, at_once):
            bounds = packed.cu_seqlens[start : start + at_once + 1].long()
            index = bounds[:-1, None] + torch.arange(longest, device=a.device)  # (B, T)
            real = (index < bounds[1:, None]) & (index < num_tokens)
            index = index.clamp(max=len(a) - 1)
            ours, theirs = (
                _log_relations(one[index], other[index], real) for one, other in ((a, b), (their_a, their_b))
            )
            shares, rows = theirs.exp(), real[:, None, :, None]  # (B, R, T, T), and which of its rows count
            loss = loss + (shares * (theirs - ours) * rows).sum() / heads
            if training:
                grad = (ours.exp_() - shares) * rows * (scale / heads)
                flat = index.flatten()
                grad_a.index_add_(0, flat, (grad @ b[index].transpose(1, 2)).transpose(1, 2).flatten(0, 1))
                grad_b.index_add_(0, flat, (grad.mT @ a[index].transpose(1, 2)).transpose(1, 2).flatten(0, 1))
        if training:
            ctx.save_for_backward(grad_a, grad_b)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_a, grad_b = ctx.saved_tensors
        return grad_a * grad, grad_b * grad, *[None] * 4


def _log_relations(a: Tensor, b: Tensor, real: Tensor) -> Tensor:
    """(B, T, R, K) twice -> (B, R, T, T), of tokens that are there."""
    scores = a.transpose(1, 2) @ b.permute(0, 2, 3, 1) * a.shape[-1] ** -0.5
    lowest = torch.finfo(scores.dtype).min  # finite: a row of nothing must not become NaN
    return scores.masked_fill_(~real[:, None, None, :], lowest).log_softmax(-1)  # type: ignore[no-any-return]
