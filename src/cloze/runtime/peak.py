"""Peak speed of a device: dense FLOP/s from data sheets, or measured with a matrix product."""

import itertools
import math
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

DENSE_PEAKS = {  # FLOP/s without sparsity, by NVIDIA's data sheets: 16-bit, TF32, fp32
    "H200": (989e12, 495e12, 67e12),
    "H100 PCIe": (756e12, 378e12, 51e12),
    "H100": (989e12, 495e12, 67e12),
    "A100": (312e12, 156e12, 19.5e12),
    "L40S": (362e12, 183e12, 91.6e12),
    "RTX 4090": (165e12, 82.6e12, 82.6e12),
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Dense FLOP/s of one device: from the table, on a CPU as measured; None for a device that the table lacks."""
    if device.type == "cpu":
        return _of_processor(torch.bfloat16 if "bf16" in precision else torch.float32, torch.get_num_threads())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for key, (half, tf32, single) in DENSE_PEAKS.items():
        if key in name:
            if "16" in precision:
                return half
            return single if torch.get_float32_matmul_precision() == "highest" else tf32
    return None


@cache
def _of_processor(dtype: torch.dtype, threads: int) -> float:  # noqa: ARG001 - another number is measured anew
    """Measured once for all runs of a process: those of a sweep."""
    return measured_gemm_flops(dtype=dtype)


def measured_gemm_flops(
    size: int = 1024,
    repeats: int = 8,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    budget: float = math.inf,
) -> float:
    """The best rate of a product of two square matrices, FLOP/s.

    On a CPU with torch's present number of threads, by the faster of its libraries.

    Args:
        size: of the matrices.
        repeats: of which the fastest counts; the ways of torch take turns.
        dtype: of the matrices.
        device: that multiplies.
        budget: seconds after which no further product begins.
    """
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = _seconds_on_gpu if device.startswith("cuda") else _seconds
    best, began = math.inf, time.perf_counter()
    for product in itertools.islice(itertools.cycle(products(a, b)), repeats):
        best = min(best, seconds(product))
        if time.perf_counter() - began > budget:
            break
    return 2 * size**3 / best


def products(a: Tensor, b: Tensor) -> list[Callable[[], Tensor]]:
    """The ways in which torch multiplies two square matrices as fast as it can."""
    ways: list[Callable[[], Tensor]] = [lambda: torch.mm(a, b)]
    # Products in 16 bits are oneDNN's in any case.
    if a.is_cpu and a.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        ways.append(lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))
    return ways


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _seconds_on_gpu(work: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000
