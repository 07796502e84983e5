"""Dropout on a CPU with random numbers from a hash, at almost no cost.

``bernoulli_`` draws from one serial generator and takes about a fifth of a CPU training step. Here each element's
fate is a hash of its index under a 64-bit key, which compilers turn into wide vector instructions; the key alone
is drawn from torch's generator. So nothing but the key is kept for the backward pass, and restoring torch's generator
restores every mask. Under bf16 the same masks are applied in fp32, in which the residual stream is. Compiled code on a
GPU takes the same hash, a third of the instructions of torch's generator; elsewhere torch's own dropout is used.

The hash is ``lowbias32`` (C. Wellons, "Prospecting for Hash Functions", 2018), once under each half of the key.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cloze.runtime.compiled import compiled

FloatArray = NDArray[np.float32]


@numba.njit(inline="always")
def keeps(index: np.uint32, key: tuple[np.uint32, np.uint32], threshold: np.uint32) -> Any:
    """Whether the element at ``index`` survives: true with probability 1 - threshold / 2**32."""
    x = np.uint32(index) ^ key[0]
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    x ^= x >> np.uint32(16)
    x = np.uint32(x + key[1])
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    x ^= x >> np.uint32(16)
    return x >= threshold


@compiled(parallel=True)
def _drop(x: FloatArray, out: FloatArray, key: Any, threshold: np.uint32, scale: np.float32) -> None:
    for i in numba.prange(x.size):
        out[i] = x[i] * scale if keeps(np.uint32(i), key, threshold) else np.float32(0)


@compiled(parallel=True)
def _drop_and_add(
    x: FloatArray, residual: FloatArray, out: FloatArray, key: Any, threshold: np.uint32, scale: np.float32
) -> None:
    for i in numba.prange(x.size):
        out[i] = residual[i] + (x[i] * scale if keeps(np.uint32(i), key, threshold) else np.float32(0))


class Mask:
    """One draw of a dropout mask: a key, the threshold of the rate, and the scale of what is kept."""

    def __init__(self, rate: float) -> None:
        bits = int(torch.randint(2**63 - 1, ()).item())
        self.key = (np.uint32(bits & 0xFFFFFFFF), np.uint32(bits >> 32))
        self.threshold = np.uint32(round(rate * 2**32))
        self.scale = np.float32(1.0 / (1.0 - rate))

    def apply(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Zero the dropped elements of a contiguous fp32 CPU tensor and scale the rest, into ``out`` (may be x)."""
        out = torch.empty_like(x) if out is None else out
        on_all_threads(_drop, flat(x), flat(out), self.key, self.threshold, self.scale)
        return out

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """``residual`` plus the masked x, in one pass over memory."""
        out = torch.empty_like(x)
        on_all_threads(_drop_and_add, flat(x), flat(residual), flat(out), self.key, self.threshold, self.scale)
        return out


def on_all_threads(kernel: Callable[..., None], *arguments: Any) -> None:
    """Call one of numba's parallel functions on as many threads as torch takes."""
    numba.set_num_threads(min(torch.get_num_threads(), _most_threads()))
    kernel(*arguments)


@functools.cache
def _most_threads() -> int:
    """Those that numba starts, once in a process; with OpenMP it sets their number for torch as well."""
    threads = torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(threads)
    return int(numba.config.NUMBA_NUM_THREADS)


def flat(x: Tensor) -> FloatArray:
    """The memory of a contiguous CPU tensor as a flat NumPy array, without a copy."""
    array: FloatArray = x.detach().view(-1).numpy()
    return array


def is_hashable(x: Tensor) -> bool:
    """Whether the hashed masks serve this tensor, once it is fp32; torch's own dropout serves the others."""
    return (
        not torch.compiler.is_compiling()
        and x.is_cpu
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and x.numel() < 2**32
    )


def draw_key(device: torch.device) -> Tensor:
    """(2,) int32: a key from the device's generator, which nothing reads on the host."""
    return torch.randint(-(2**31), 2**31 - 1, (2,), dtype=torch.int32, device=device)


def drop_fused(x: Tensor, rate: float, key: Tensor | None = None) -> Tensor:
    """The same rule in torch's operations, a score of them: for compiled code, where they are one kernel."""
    low, high = (draw_key(x.device) if key is None else key).unbind()
    hashed = _mixed(torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape) ^ low)
    hashed = _mixed(hashed + high)
    threshold = round(rate * 2**32) - 2**31
    kept = (hashed ^ -(2**31)) >= threshold  # compared without a sign
    return torch.where(kept, x / (1.0 - rate), 0.0)


def _mixed(x: Tensor) -> Tensor:
    x = _xor_shifted(x, 16) * 0x7FEB352D
    return _xor_shifted(_xor_shifted(x, 15) * (0x846CA68B - 2**32), 16)


def _xor_shifted(x: Tensor, bits: int) -> Tensor:
    return x ^ ((x >> bits) & (2 ** (32 - bits) - 1))  # type: ignore[no-any-return]  # torch shifts the sign in


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        ctx.mask = Mask(rate)
        return ctx.mask.apply(x.contiguous())  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.mask.apply(grad.contiguous()), None


class _DropoutAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, rate: float) -> Tensor:
        ctx.mask = Mask(rate)
        return ctx.mask.add(x.contiguous(), residual.contiguous())  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return ctx.mask.apply(grad.contiguous()), grad, None


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) with ``rate`` in [0, 1), any shape."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Drop elements of x and add the residual, if there is one, in the same pass."""
        if self.rate and self.training:
            if is_hashable(x):
                if residual is None:
                    return _Dropout.apply(x.float(), self.rate).to(x.dtype)  # type: ignore[no-any-return, no-untyped-call]
                dtype = torch.promote_types(x.dtype, residual.dtype)
                added = _DropoutAdd.apply(x.float(), residual.float(), self.rate)  # type: ignore[no-untyped-call]
                return added.to(dtype)  # type: ignore[no-any-return]
            fused = x.is_cuda and torch.compiler.is_compiling()
            x = drop_fused(x, self.rate) if fused else F.dropout(x, self.rate)
        return x if residual is None else residual + x

    def extra_repr(self) -> str:
        """The rate, for ``print(model)``."""
        return f"rate={self.rate}"
