"""Linear layers that take the faster of torch's two CPU libraries.

For fp32 torch calls MKL, whose kernels are tuned for Intel's processors. On AMD's, oneDNN's product ran at 1.2 to 1.4
times its speed forward and for the gradient of the input (Zen 4; on Zen 3 as fast, and 1.7 times in the wide product of
the masked-language-model head), and slower for that of the weight, which stays with MKL.
"""

import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1 << 25
"""Multiplications below which the choice costs more than it gains."""


class Linear(nn.Linear):
    """``nn.Linear`` in everything but speed."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        if _suits_onednn(x, self.weight):
            return _OneDNNLinear.apply(x, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]
        return F.linear(x, self.weight, self.bias)


def linear_values(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` by the faster library, for code that computes its gradients itself: autograd does not see it."""
    return _product(x, weight, bias) if _suits_onednn(x, weight) else F.linear(x, weight, bias)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and x.ndim == 2
        and x.shape[0] * weight.numel() >= SMALLEST
        and not torch.is_autocast_enabled("cpu")
        and _prefers_onednn()
    )


@functools.cache
def _prefers_onednn() -> bool:
    """By the maker's name and not by a measurement, so that a run can be repeated to the bit."""
    cpuinfo = Path("/proc/cpuinfo")
    return (
        torch.backends.mkldnn.is_available()
        and cpuinfo.exists()
        and "AuthenticAMD" in cpuinfo.read_text(encoding="utf-8")
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = _product(grad, weight.T, None) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:  # a frozen layer
            return grad_x, None, grad.sum(0) if ctx.needs_input_grad[2] else None
        # MKL is faster with the larger side first.
        wide = weight.shape[0] >= weight.shape[1]
        return grad_x, grad.T @ x if wide else (x.T @ grad).T, grad.sum(0)
