"""Products of matrices by the faster of torch's two CPU libraries.

For fp32 torch calls MKL, whose kernels are tuned for Intel's processors. On AMD's, oneDNN's product ran at 1.2 to 1.4
times its speed forward and for the gradient of the input (Zen 4; on Zen 3 as fast, and 1.7 times in the wide product of
the masked-language-model head), and slower for that of the weight, which stays with MKL. On Zen 5 it ran at 2.2 times
MKL's speed, and at 1.5 to 2 times for the gradient of the weight, too.
"""

import functools
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1 << 25
"""Multiplications below which, in a layer, the choice costs more than it gains."""
PLAIN = (Tensor, torch.nn.Parameter)
"""Not those that are cut over ranks."""


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
    )


def onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` of fp32 matrices on a CPU by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


@functools.cache
def amd_family() -> int:
    """AMD's number of the processor's generation, 0 for other makers and where there is no oneDNN.

    By name and not by a measurement, so that a run can be repeated to the bit.
    """
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    family = re.search(r"^cpu family\s*: (\d+)$", text, re.MULTILINE)
    return int(family[1]) if family and "AuthenticAMD" in text and torch.backends.mkldnn.is_available() else 0
