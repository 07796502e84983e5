"""Soft and hard targets over a large vocabulary without storing all logits. Legend for shapes: see ``cloze.batch``."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, ROWS_ON_A_DEVICE, in_product_dtype
from cloze.model.kernels.matmul import add_weight_gradient, product


class Decoder(NamedTuple):
    """Logits that are yet to be computed: ``hidden @ weight.T + bias``.

    Attributes:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor


class SoftAndHard(NamedTuple):
    """Scalar tensors; of all but the first there is no gradient.

    Attributes:
        loss: the weighted sum of the next two.
        soft: the sum of the losses of soft targets.
        hard: the sum of the cross-entropies with the labels.
        correct: the number of rows whose label got the highest logit.
    """

    loss: Tensor
    soft: Tensor
    hard: Tensor
    correct: Tensor


def soft_and_hard_targets(
    student: Decoder, teacher: Decoder, labels: Tensor, *, temperature: float, soft: float, hard: float
) -> SoftAndHard:
    """The summed losses of a student's logits, by those of its teacher and by labels.

    The first is T^2 KL(softmax(t / T) || softmax(s / T)), with logits s of the student and t of the teacher and the
    temperature T (Hinton et al. 2015, section 2: by the square the gradients keep their size whatever T is). Where one
    has more rows for tokens than the other, which no token has, it is over those of both. The logits of both are made,
    turned into the gradient and used up a few rows at a time, in the forward pass, as in ``linear_cross_entropy``.

    Args:
        student: M rows.
        teacher: the same M rows, in other widths perhaps.
        labels: (M,) int64; rows with ``IGNORED_LABEL`` count nothing.
        temperature: T.
        soft: the weight of soft targets.
        hard: the weight of labels.
    """
    found = _SoftAndHard.apply(*student, *teacher, labels, temperature, soft, hard)  # type: ignore[no-untyped-call]
    return SoftAndHard(*found)


class _SoftAndHard(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        their_hidden: Tensor,
        their_weight: Tensor,
        their_bias: Tensor,
        labels: Tensor,
        temperature: float,
        soft: float,
        hard: float,
    ) -> tuple[Tensor, ...]:
        training, both = any(ctx.needs_input_grad), min(len(weight), len(their_weight))
        x, w, b, their_x, their_w, their_b = in_product_dtype(
            hidden, weight, bias, their_hidden, their_weight[:both], their_bias[:both]
        )
        soft_sum, hard_sum = hidden.new_zeros(2, dtype=torch.float32)
        correct, grad_weight = labels.new_zeros(()), None
        if training:
            grad_hidden, grad_bias = torch.empty_like(hidden), torch.zeros_like(bias)
        rows_at_once = ROWS_AT_ONCE if hidden.is_cpu else ROWS_ON_A_DEVICE
        for start in range(0, len(labels), rows_at_once):
            rows = slice(start, start + rows_at_once)
            counted = (labels[rows] != IGNORED_LABEL).unsqueeze(1)  # (rows, 1)
            label = labels[rows].clamp(min=0).unsqueeze(1)
            logits = product(x[rows], w, b).float()  # (rows, V)
            target = torch.log_softmax(product(their_x[rows], their_w, their_b).float() / temperature, -1)
            said = torch.log_softmax(logits[:, :both] / temperature, -1)
            shares = target.exp()
            divergence = (shares * (target - said)).sum(-1, keepdim=True)
            soft_sum = soft_sum + temperature**2 * (divergence * counted).sum()
            right, top = logits.gather(1, label), logits.amax(-1, keepdim=True)
            correct = correct + ((right == top) & counted).sum()
            log_probs = torch.log_softmax(logits, -1)
            hard_sum = hard_sum - (log_probs.gather(1, label) * counted).sum()
            if training:
                # d loss / d logits: of soft targets T (softmax(s / T) - softmax(t / T)), of labels softmax - one-hot.
                one_hot = log_probs.new_full((), -1.0).expand_as(label)
                error = log_probs.exp_().scatter_add_(1, label, one_hot).mul_(hard)
                error[:, :both] += soft * temperature * (said.exp_() - shares)
                grad_bias.addmv_(error.to(bias.dtype).T, counted.squeeze(1).to(bias.dtype))
                grad = error.to(x.dtype)
                grad_hidden[rows] = product(grad, w.T) * counted
                grad_weight = add_weight_gradient(grad_weight, grad, x[rows] * counted, weight.dtype)
        if training:
            grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight.contiguous()
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(soft_sum, hard_sum, correct)
        return soft * soft_sum + hard * hard_sum, soft_sum, hard_sum, correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, grad_bias * grad, *[None] * 7
