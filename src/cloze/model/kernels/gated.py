"""Gated activations (Shazeer 2020): one half of a row, activated, times the other. Legend: see ``cloze.batch``."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.model.kernels.dropout import FloatArray, flat, is_hashable, on_all_threads
from cloze.model.kernels.elementary import erf, exp
from cloze.runtime.compiled import compiled

HALF, ONE = np.float32(0.5), np.float32(1)
INVERSE_ROOT_2, INVERSE_ROOT_2_PI = np.float32(math.sqrt(0.5)), np.float32(1 / math.sqrt(2 * math.pi))
ONE_PASS: dict[Callable[[Tensor], Tensor], bool] = {F.gelu: False, F.silu: True}
"""Activations that the kernels below know; whether it is SiLU."""


def gated(gate_and_value: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """``activation(gate) * value``.

    On a CPU in fp32 in one pass over memory each way, which keeps nothing but its input.

    Args:
        gate_and_value: (..., 2 I), the gate first.
        activation: elementwise.

    Returns:
        (..., I).
    """
    if gate_and_value.dtype == torch.float32 and is_hashable(gate_and_value) and activation in ONE_PASS:
        return _Gated.apply(gate_and_value, ONE_PASS[activation])  # type: ignore[no-any-return,no-untyped-call]
    gate, value = gate_and_value.chunk(2, dim=-1)
    return activation(gate) * value


@compiled(parallel=True, fastmath={"contract"}, error_model="numpy")
def _gate(both: FloatArray, out: FloatArray, is_silu: bool) -> None:
    width = out.shape[1]
    for row in numba.prange(len(out)):
        gate, value, product = both[row, :width], both[row, width:], out[row]
        if is_silu:
            for i in range(width):
                product[i] = gate[i] / (ONE + exp(-gate[i])) * value[i]
        else:
            for i in range(width):
                product[i] = HALF * gate[i] * (ONE + erf(gate[i] * INVERSE_ROOT_2)) * value[i]


@compiled(parallel=True, fastmath={"contract"}, error_model="numpy")
def _gate_backward(both: FloatArray, grad: FloatArray, out: FloatArray, is_silu: bool) -> None:
    width = grad.shape[1]
    for row in numba.prange(len(grad)):
        gate, value, above = both[row, :width], both[row, width:], grad[row]
        of_gate, of_value = out[row, :width], out[row, width:]
        if is_silu:
            for i in range(width):
                share = ONE / (ONE + exp(-gate[i]))
                of_gate[i] = above[i] * value[i] * share * (ONE + gate[i] * (ONE - share))
                of_value[i] = above[i] * gate[i] * share
        else:
            for i in range(width):
                share = HALF * (ONE + erf(gate[i] * INVERSE_ROOT_2))
                density = INVERSE_ROOT_2_PI * exp(-HALF * gate[i] * gate[i])
                of_gate[i] = above[i] * value[i] * (share + gate[i] * density)
                of_value[i] = above[i] * gate[i] * share


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor, is_silu: bool) -> Tensor:
        both = both.contiguous()
        ctx.save_for_backward(both)
        ctx.is_silu, width = is_silu, both.shape[-1] // 2
        out = both.new_empty(*both.shape[:-1], width)
        on_all_threads(_gate, flat(both).reshape(-1, 2 * width), flat(out).reshape(-1, width), is_silu)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (both,) = ctx.saved_tensors
        out, width = torch.empty_like(both), grad.shape[-1]
        on_all_threads(
            _gate_backward,
            flat(both).reshape(-1, 2 * width),
            flat(grad.contiguous()).reshape(-1, width),
            flat(out).reshape(-1, 2 * width),
            ctx.is_silu,
        )
        return out, None
