"""Matrix products by the faster of torch's two CPU libraries, and the linear layer that uses them.

For fp32 torch calls MKL, whose kernels are tuned for Intel's processors. On AMD's with AVX-512, oneDNN's product ran at
1.2 to 1.4 times its speed forward and for the gradient of the input (Zen 4), and slower for that of the weight, which
stays with MKL. On Zen 5 it ran at 2.2 times MKL's speed, and at 1.5 to 2 times for the gradient of the weight, too. On
Zen 3, without AVX-512, it ran at 0.8 to 0.95 times (torch 2.13), and at 1.2 times in the wide product of the
masked-language-model head alone.
"""

import functools
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1 << 25
"""Multiplications below which, in a layer, the choice costs more than it gains."""
PLAIN = (Tensor, nn.Parameter)
"""Not those that are sharded over ranks."""
WIDE = 1 << 14
"""Rows of a weight from which oneDNN is the faster one without AVX-512, too."""
ZEN_5 = 26
"""AMD's number of its processors' generation from which oneDNN takes the gradients of weights, too."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, smallest: int = SMALLEST) -> Tensor:
    """``F.linear`` by the faster library, for code that computes its gradients itself: autograd does not see it.

    Args:
        x: (N, I).
        weight: (O, I).
        bias: (O,).
        smallest: multiplications from which the library is chosen.
    """
    chosen = suits_onednn(x, weight, smallest)
    return onednn_product(x, weight, bias) if chosen else F.linear(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor, smallest: int = SMALLEST) -> bool:
    """Whether oneDNN is the faster one for ``F.linear`` of these."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in PLAIN
        and type(weight) in PLAIN
        and x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and x.ndim == 2
        and x.shape[0] * weight.numel() >= smallest
        and not torch.is_autocast_enabled("cpu")
        and amd_family() > 0
        and (has_avx512() or weight.shape[0] >= WIDE)
    )


def onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` of fp32 matrices on a CPU by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


def has_avx512() -> bool:
    """Whether torch's kernels for this processor use registers of 512 bits."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


@functools.cache
def amd_family() -> int:
    """AMD's number of the processor's generation, 0 for other makers and where there is no oneDNN.

    By name and not by a measurement, so that a run can be repeated to the bit.
    """
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    family = re.search(r"^cpu family\s*: (\d+)$", text, re.MULTILINE)
    return int(family[1]) if family and "AuthenticAMD" in text and torch.backends.mkldnn.is_available() else 0


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
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = product(grad, weight.T) if ctx.needs_input_grad[0] else None
        grad_bias = grad.sum(0) if ctx.needs_input_grad[2] else None
        return grad_x, weight_gradient(grad, x) if ctx.needs_input_grad[1] else None, grad_bias
