"""Measure matrix products on the processor and GPUs, and check that torch and the driver match."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from cloze.config.hardware import Hardware
from cloze.doctor.findings import Finding, gib
from cloze.errors import InputError
from cloze.run.hardware import check_hardware
from cloze.runtime.peak import measured_gemm_flops, peak_flops

DRIVER = Path("/proc/driver/nvidia/version")
CPU_SIZE, GPU_SIZE = 512, 8192
BUDGET = 0.5
"""Seconds for each measurement on a processor: one without bf16 units may take a hundred times as long in bf16."""
PAYS = 1.2
"""Times the speed of fp32 from which on bf16 is worth its digits on a processor."""
FEW = 0.6
"""Share of a card's peak that a large product should reach in bf16."""
GIGA, TERA = 1e9, 1e12


def check_processor_speed(hardware: Hardware) -> Iterator[Finding]:
    """Matrix products in fp32 and bf16, and which of them the configuration asks for."""
    single = measured_gemm_flops(CPU_SIZE, budget=BUDGET)
    half = measured_gemm_flops(CPU_SIZE, dtype=torch.bfloat16, budget=BUDGET)
    pays = half >= PAYS * single
    verdict = "pays" if pays else "does not pay"
    yield Finding(
        topic="devices",
        level="good",
        text=f"processor: {single / GIGA:,.1f} GFLOP/s in fp32, {half / GIGA:,.1f} in bf16, which {verdict} here",
        figures={"fp32_flops": single, "bf16_flops": half},
    )
    if not hardware.on_gpu and "16" in hardware.precision and not pays:
        yield Finding(
            topic="devices",
            level="warning",
            text=f"hardware.precision={hardware.precision} is slower than 32-true on this processor",
            advice="hardware.precision=32-true",
        )


def check_build(hardware: Hardware, driver: Path = DRIVER) -> Iterator[Finding]:
    """Torch's build against the driver, and the devices that the configuration asks for."""
    built, seen = torch.version.cuda, torch.cuda.device_count()
    if built and not seen:
        why = _reason() if driver.exists() else "there is no NVIDIA driver"
        yield Finding(
            topic="devices",
            level="note",
            text=f"torch is built for CUDA {built}, but sees no GPU: {why}",
            advice="on a machine without GPUs the CPU build is a tenth as large; else install the driver, or in a "
            "container give --gpus all",
            figures={"cuda": built},
        )
    if not built and driver.exists():
        yield Finding(
            topic="devices",
            level="warning",
            text="there is an NVIDIA driver, but torch is built without CUDA",
            advice="install the build of torch for CUDA: the GPU stands idle",
        )
    if seen and not hardware.on_gpu:
        yield Finding(
            topic="devices",
            level="note",
            text=f"torch sees {seen} GPU, which hardware={hardware.accelerator} leaves idle",
            advice="hardware=gpu, or hardware=ddp for several; cloze-doctor hardware=gpu looks at them",
        )
    try:
        check_hardware(hardware)
    except InputError as error:
        text, _, advice = str(error).partition(": ")
        yield Finding(topic="devices", level="failure", text=text, advice=advice)


def _reason() -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return "CUDA_VISIBLE_DEVICES hides them all" if torch.cuda.device_count() == 0 else "it did not at first"


def check_gpus() -> Iterator[Finding]:
    """Each GPU: its memory, the speed of its bf16 product against the data sheet, and torch's kernel for attention."""
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        name, major = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)[0]
        free, total = torch.cuda.mem_get_info(device)
        if free < total / 2:
            yield Finding(
                topic="devices",
                level="warning",
                text=f"GPU {number} ({name}): only {gib(free)} of {gib(total)} are free",
                advice="another process holds the rest: nvidia-smi names it",
            )
        if major < 8:
            yield Finding(
                topic="devices",
                level="failure",
                text=f"GPU {number} ({name}) is older than Ampere: without bf16 and the kernel for packed tokens",
                advice="hardware.precision=32-true, or another card",
            )
            continue
        rate = measured_gemm_flops(GPU_SIZE, dtype=torch.bfloat16, device=f"cuda:{number}")
        peak = peak_flops(device, "bf16-mixed")
        share = f", {rate / peak:.0%} of its {peak / TERA:.0f}" if peak else "; its peak is not in our table"
        slow = peak is not None and rate < FEW * peak
        yield Finding(
            topic="devices",
            level="warning" if slow else "good",
            text=f"GPU {number} ({name}, {gib(total)}): {rate / TERA:.0f} TFLOP/s in bf16{share}",
            advice="nvidia-smi -q -d PERFORMANCE,POWER shows whether it is throttled or shared" if slow else "",
            figures={"bf16_flops": rate, "peak_flops": peak, "bytes": total, "free_bytes": free},
        )
    if torch.cuda.device_count():
        yield from _attention()


def _attention() -> Iterator[Finding]:
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: F401
    except ImportError as error:
        yield Finding(
            topic="devices",
            level="failure",
            text=f"this torch has no attention over packed tokens ({error})",
            advice="pip install 'torch>=2.11', the build for CUDA",
        )
    if find_spec("triton") is None:
        yield Finding(
            topic="devices",
            level="warning",
            text="the package triton is not installed: attention takes slower kernels, with dropout far slower ones",
            advice="pip install triton",
        )
