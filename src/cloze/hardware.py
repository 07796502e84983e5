"""The machine: what it can do of what was asked, and how torch is set up for it."""

import os
import sys
from pathlib import Path

import torch

from cloze.allocator import keep_large_buffers
from cloze.config.sections import Hardware
from cloze.errors import InputError

MOST_A_PROCESSOR = 64
"""Threads, or worker processes: with more a machine comes to a stand."""


def check_hardware(hardware: Hardware) -> None:
    """Compare what was asked with what is there.

    Raises:
        InputError: there is no GPU, or not so many; or more threads than any machine bears.
    """
    processors = os.cpu_count() or 1
    for name, value in (("threads", hardware.threads or 0), ("workers", hardware.workers)):
        if value > MOST_A_PROCESSOR * processors:
            raise InputError(f"hardware.{name} is {value:,}, but this machine has {processors} processors: take fewer")
    if hardware.on_gpu:
        there = torch.cuda.device_count()
        if there == 0:
            raise InputError("hardware.accelerator is gpu, but torch sees none here: take hardware=cpu")
        if hardware.devices > there:
            raise InputError(
                f"hardware.devices is {hardware.devices}, but torch sees {there}: take hardware.devices={there}"
            )
    elif "16" in hardware.precision and not _multiplies_bf16():
        # Emulated, bf16 ran at 0.53 times the speed of fp32; with AVX512-BF16 a product ran at 2.7 times its speed.
        print(
            f"warning: this CPU has no bf16 units, so hardware.precision={hardware.precision} is slower than 32-true",
            file=sys.stderr,
        )


def check_attention_dropout(probability: float, hardware: Hardware, *, key: str) -> None:
    """Compare the dropout of attention with what the kernel of the hardware can do.

    Args:
        probability: of dropping.
        hardware: what is asked for.
        key: of the configuration that sets the probability.

    Raises:
        InputError: the kernel cannot drop.
    """
    if hardware.on_gpu and "16" in hardware.precision and probability:
        raise InputError(
            f"{key} is {probability}, but torch's flash attention has no dropout: set it to 0 (as MosaicBERT and "
            "ModernBERT do), or hardware.precision=32-true"
        )


def set_up(hardware: Hardware) -> None:
    """Threads and the allocator on a CPU, TF32 for what remains in fp32 beside 16-bit on a GPU."""
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    if hardware.on_gpu:
        torch.set_float32_matmul_precision("highest" if hardware.precision == "32-true" else "high")
    else:
        keep_large_buffers()


def _multiplies_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively; other systems than Linux are taken at their word."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        return True
    known = flags.read_text(encoding="utf-8")
    return "amx_bf16" in known or "avx512_bf16" in known
