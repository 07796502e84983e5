"""Cross-entropy over a large vocabulary without storing all logits. Legend for shapes: see ``cloze.batch``."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL
from cloze.model.kernels.matmul import add_weight_gradient, product
from cloze.model.kernels.sampling import sample

ROWS_AT_ONCE = 128
"""Rows whose logits are alive together: 128 x 30,522 in fp32 is 15 MiB, which stays in a CPU's last-level cache."""
ROWS_ON_A_DEVICE = 2048
"""The same off the CPU: 238 MiB, in products large enough to fill a GPU."""
VOCABULARY_MULTIPLE = 64
"""Off the CPU, to which the columns of the logits are filled up, inside: tensor cores want sizes that divide evenly."""


class CrossEntropy(NamedTuple):
    """The sum of the losses and the number of rows whose label got the highest logit, both scalar tensors."""

    loss: Tensor
    correct: Tensor


class SampledCrossEntropy(NamedTuple):
    """The same, and a token drawn from the softmax of each row's logits, (M,) int64, without gradient."""

    loss: Tensor
    correct: Tensor
    sampled: Tensor


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, vocabulary_multiple: int | None = None
) -> CrossEntropy:
    """The summed cross-entropy of ``hidden @ weight.T + bias`` and the labels.

    The logits are made, turned into their own gradient and used up a few rows at a time, in the forward pass, so that
    neither they nor their gradient ever exist as a whole.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64; rows with ``IGNORED_LABEL`` count nothing.
        vocabulary_multiple: to which V is filled up for the products, with logits of minus infinity; by default
            ``VOCABULARY_MULTIPLE`` off the CPU.
    """
    loss, correct, _ = _applied(hidden, weight, bias, labels, None, vocabulary_multiple)
    return CrossEntropy(loss, correct)


def sampled_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    uniforms: Tensor,
    vocabulary_multiple: int | None = None,
) -> SampledCrossEntropy:
    """``linear_cross_entropy``, which samples from the softmax while it is there.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64; see ``linear_cross_entropy``.
        vocabulary_multiple: likewise.
        uniforms: (M,) fp32 in [0, 1), which decide what is drawn; see ``cloze.model.kernels.sampling``.
    """
    return SampledCrossEntropy(*_applied(hidden, weight, bias, labels, uniforms, vocabulary_multiple))


def _applied(
    hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, uniforms: Tensor | None, multiple: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    multiple = multiple or (1 if hidden.is_cpu else VOCABULARY_MULTIPLE)
    return _LinearCrossEntropy.apply(hidden, weight, bias, labels, uniforms, multiple)  # type: ignore[no-untyped-call, no-any-return]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        uniforms: Tensor | None,
        multiple: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss = hidden.new_zeros((), dtype=torch.float32)
        correct = labels.new_zeros(())
        sampled = [labels.new_zeros(0)]
        training = any(ctx.needs_input_grad)
        x, w, b = in_product_dtype(hidden, weight, bias)  # once, not for every few rows
        w, b = _filled(w, multiple, 0.0), _filled(b, multiple, -torch.inf)  # columns that never win
        grad_weight = None
        if training:
            grad_hidden = torch.empty_like(hidden)
            grad_bias = torch.zeros_like(b, dtype=bias.dtype)
        rows_at_once = ROWS_AT_ONCE if hidden.is_cpu else ROWS_ON_A_DEVICE
        for start in range(0, len(labels), rows_at_once):
            rows = slice(start, start + rows_at_once)
            counted = (labels[rows] != IGNORED_LABEL).unsqueeze(1)  # (rows, 1)
            label = labels[rows].clamp(min=0).unsqueeze(1)
            logits = product(x[rows], w, b).float()  # (rows, V)
            right, top = logits.gather(1, label), logits.amax(-1, keepdim=True)
            # Not in place: of what is, torch 2.11's compiler makes a result whose gradient is zero, without a word.
            correct = correct + ((right == top) & counted).sum()
            # In place, where that is known to be safe; the highest of them is exp(top - log_sum).
            place = logits if logits.is_cpu and not torch.compiler.is_compiling() else None
            probs = torch.softmax(logits, -1, out=place)
            if uniforms is not None:
                sampled.append(sample(probs, uniforms[rows]))
            log_sum = top - probs.amax(-1, keepdim=True).log()
            loss = loss + ((log_sum - right) * counted).sum()
            if training:
                error = probs.scatter_add_(1, label, probs.new_full((), -1.0).expand_as(label))
                # d loss / d logits = softmax - one-hot in the rows that count, and those are picked where it is cheap:
                # in the other factor, which is D wide, not V.
                grad_bias.addmv_(error.to(bias.dtype).T, counted.squeeze(1).to(bias.dtype))
                grad = error.to(x.dtype)
                grad_hidden[rows] = product(grad, w.T) * counted
                grad_weight = add_weight_gradient(grad_weight, grad, x[rows] * counted, weight.dtype)
        if training:
            grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight[: len(weight)].contiguous()
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias[: len(weight)])
        drawn = torch.cat(sampled)
        ctx.mark_non_differentiable(correct, drawn)
        return loss, correct, drawn

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, grad_bias * grad, None, None, None


def in_product_dtype(*tensors: Tensor) -> list[Tensor]:
    """As autocast would have them for a product, where it is on."""
    device = tensors[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):  # autocast knows no meta device
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]


def _filled(rows: Tensor, multiple: int, value: float) -> Tensor:
    """As many rows as the next multiple; the very tensor where that is what it has."""
    missing = -len(rows) % multiple
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing), value=value) if missing else rows
