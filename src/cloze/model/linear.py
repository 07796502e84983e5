"""Linear layers whose products, forward and backward, take the faster of torch's two CPU libraries."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.product import amd_family, onednn_product, suits_onednn

ZEN_5 = 26
"""AMD's number of its processors' generation from which oneDNN takes the gradients of weights, too."""


class Linear(nn.Linear):
    """``nn.Linear`` in everything but speed."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        if suits_onednn(x, self.weight):
            return _OneDNNLinear.apply(x, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]
        return F.linear(x, self.weight, self.bias)


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """``grad.T @ x`` by the faster library: (N, O) and (N, I) -> (O, I), which may be the view of an (I, O)."""
    wide = grad.shape[1] >= x.shape[1]
    if _gradient_suits_onednn(grad, x):  # faster with the smaller side first
        return onednn_product(x.T, grad.T, None).T if wide else onednn_product(grad.T, x.T, None)
    return grad.T @ x if wide else (x.T @ grad).T  # MKL is faster with the larger side first


def add_weight_gradient(total: Tensor | None, grad: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """``total``, or where it is None the first term, plus ``grad.T @ x``; in fp32 where the factors are in 16 bits."""
    if total is None:
        return weight_gradient(grad, x).to(dtype)
    if dtype == grad.dtype and not _gradient_suits_onednn(grad, x):
        return total.addmm_(grad.T, x)
    return total.add_(weight_gradient(grad, x))


def _gradient_suits_onednn(grad: Tensor, x: Tensor) -> bool:
    return suits_onednn(grad.T, x.T) and amd_family() >= ZEN_5


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = onednn_product(grad, weight.T, None) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:  # a frozen layer
            return grad_x, None, grad.sum(0) if ctx.needs_input_grad[2] else None
        return grad_x, weight_gradient(grad, x), grad.sum(0)
