"""Cross-entropy over a large vocabulary without holding the logits. Legend for shapes: see ``cloze.batch``."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL

ROWS_AT_ONCE = 128
"""Rows whose logits are alive together: 128 x 30,522 in fp32 is 15 MiB, which stays in a CPU's last-level cache."""


class CrossEntropy(NamedTuple):
    """The sum of the losses and the number of rows whose label got the highest logit, both scalar tensors."""

    loss: Tensor
    correct: Tensor


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> CrossEntropy:
    """The summed cross-entropy of ``hidden @ weight.T + bias`` and the labels.

    The logits are made, turned into their own gradient and used up a few rows at a time, in the forward pass, so that
    neither they nor their gradient ever exist as a whole.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64; rows with ``IGNORED_LABEL`` count nothing.
    """
    loss, correct = _LinearCrossEntropy.apply(hidden, weight, bias, labels)  # type: ignore[no-untyped-call]
    return CrossEntropy(loss, correct)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = hidden.new_zeros((), dtype=torch.float32)
        correct = labels.new_zeros(())
        training = any(ctx.needs_input_grad)
        if training:
            grad_hidden = torch.empty_like(hidden)
            grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for start in range(0, len(labels), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            counted = (labels[rows] != IGNORED_LABEL).unsqueeze(1)  # (rows, 1)
            label = labels[rows].clamp(min=0).unsqueeze(1)
            log_probs = torch.addmm(bias, hidden[rows], weight.T).float().log_softmax(-1)  # (rows, V)
            right = log_probs.gather(1, label)
            loss -= (right * counted).sum()
            correct += ((right == log_probs.amax(-1, keepdim=True)) & counted).sum()
            if training:
                grad = log_probs.exp_()  # d loss / d logits = softmax - one-hot
                grad.scatter_add_(1, label, grad.new_full((), -1.0).expand_as(label))
                grad = grad.mul_(counted).to(hidden.dtype)
                grad_hidden[rows] = grad @ weight.to(hidden.dtype)
                grad_weight.addmm_(grad.T.to(weight.dtype), hidden[rows].to(weight.dtype))
                grad_bias += grad.sum(0)
        if training:
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, grad_bias * grad, None
