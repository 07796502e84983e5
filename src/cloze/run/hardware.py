"""Check the requested hardware and set up torch for it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from cloze.config.hardware import Hardware
from cloze.errors import InputError
from cloze.runtime.allocator import keep_large_buffers

MOST_A_PROCESSOR = 64
"""Threads, or worker processes: with more a machine comes to a stand."""

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables of the environment that torchrun sets for each process."""


def check_hardware(hardware: Hardware) -> None:
    """Compare what was asked with what is there.

    Raises:
        InputError: there is no GPU, or too few; or more threads than any machine bears.
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
    elif hardware.in_half and not multiplies_bf16():
        # Emulated, bf16 ran at 0.53 times the speed of fp32; with AVX512-BF16 a product ran at 2.7 times its speed.
        print(
            f"warning: this CPU has no bf16 units, so hardware.precision={hardware.precision} is slower than 32-true",
            file=sys.stderr,
        )


def on_this_machine(hardware: Hardware) -> Hardware:
    """With the devices and nodes that the launcher has started, once this machine has what is asked for.

    Raises:
        InputError: it has not.
    """
    hardware = placed(hardware)
    check_hardware(hardware)
    return hardware


def placed(hardware: Hardware, environment: Mapping[str, str] = os.environ) -> Hardware:
    """With the number of devices and nodes that the launcher has started.

    Args:
        hardware: what is asked for.
        environment: in which torchrun and srun tell their processes who they are.

    Raises:
        InputError: the launcher has not started this process, or another number of them than is asked for.
    """
    if hardware.launcher == "torchrun":
        devices, nodes = _of_torchrun(environment)
    elif hardware.launcher == "slurm":
        devices, nodes = _of_slurm(environment)
    else:
        _check_alone(hardware, environment)
        return hardware
    asked = hardware.devices * hardware.num_nodes
    if asked not in (1, devices * nodes):
        raise InputError(
            f"hardware.devices is {hardware.devices} and hardware.num_nodes {hardware.num_nodes}, but "
            f"{hardware.launcher} has started {devices * nodes} processes: leave both out"
        )
    return replace(hardware, devices=devices, num_nodes=nodes)


def _of_torchrun(environment: Mapping[str, str]) -> tuple[int, int]:
    if any(name not in environment for name in TORCHRUN):
        raise InputError(
            "hardware=torchrun, but torchrun has not started this process: torchrun --nproc-per-node=(GPUs of this "
            f"machine) {Path(sys.argv[0]).name} hardware=torchrun ..."
        )
    world, here = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
    if world % here:
        raise InputError(
            f"torchrun has started {world} processes, {here} of them here: give every node the same --nproc-per-node"
        )
    return here, world // here


def _of_slurm(environment: Mapping[str, str]) -> tuple[int, int]:
    names = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS")
    if any(name not in environment for name in names):
        raise InputError(
            "hardware=slurm, but srun has not started this process: srun --ntasks-per-node=(GPUs of a node) python "
            f"{Path(sys.argv[0]).name} hardware=slurm ..."
        )
    tasks = int(environment["SLURM_NTASKS"])
    nodes = int(environment.get("SLURM_STEP_NUM_NODES") or environment.get("SLURM_NNODES") or 1)
    here = int(environment.get("SLURM_NTASKS_PER_NODE") or (tasks if nodes == 1 else 0))
    if here * nodes != tasks:
        raise InputError(
            f"srun has started {tasks} tasks on {nodes} nodes: give --ntasks-per-node=(GPUs of a node), the same for "
            "sbatch and srun"
        )
    return here, nodes


def _check_alone(hardware: Hardware, environment: Mapping[str, str]) -> None:
    """Whether the command may start its own processes: under another launcher each of them would be a run."""
    asked = hardware.devices * hardware.num_nodes
    if "TORCHELASTIC_RUN_ID" in environment:
        name, started = "torchrun", int(environment.get("WORLD_SIZE", "1"))
    elif "LOCAL_RANK" not in environment and "SLURM_STEP_ID" in environment:
        name, started = "slurm", int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
        if started == 1:
            return  # a shell, or one task that starts the others
    else:
        return
    if started != asked:
        raise InputError(
            f"{name} has started {started} processes, but hardware.devices x hardware.num_nodes is {asked}: take "
            f"hardware={name}, which asks {name} for both"
        )


def check_attention(dropout: float, hardware: Hardware, *, key: str) -> None:
    """Compare what is asked of attention in training with what its kernel can do.

    Args:
        dropout: of the probabilities.
        hardware: what is asked for.
        key: of the configuration that sets the dropout.

    Raises:
        InputError: the kernel cannot do it.
    """
    from cloze.model.kernels.fused import HAS_TRITON  # with numba, which those who do not train need not wait for

    kernel, asked = hardware.attention, f"hardware.attention is {hardware.attention}, but"
    if kernel in ("triton", "varlen") and not hardware.on_gpu:
        raise InputError(f"{asked} that kernel trains on CUDA alone: take hardware=gpu, or hardware.attention=auto")
    if kernel in ("triton", "varlen") and not hardware.in_half:
        raise InputError(
            f"{asked} that kernel has no {hardware.precision}: take hardware.precision=bf16-mixed, or "
            "hardware.attention=auto"
        )
    if kernel == "triton" and not HAS_TRITON:
        raise InputError(f"{asked} the package triton is not installed: pip install triton, or hardware.attention=auto")
    if kernel == "reference" and hardware.on_gpu:
        raise InputError(f"{asked} it makes a GPU wait at every layer: take hardware.attention=auto")
    if not dropout:
        return
    if kernel == "varlen":
        raise InputError(
            f"{asked} that kernel has no dropout, and {key} is {dropout}: set it to 0 (as MosaicBERT and ModernBERT "
            "do), or take hardware.attention=auto"
        )
    if kernel == "auto" and hardware.on_gpu and hardware.in_half and not HAS_TRITON:
        print(
            f"note: {key} is {dropout}, which torch's flash attention does not have, and the package triton, whose "
            "kernel has it, is not installed: attention takes the slow kernel sdpa; pip install triton",
            file=sys.stderr,
        )


def set_up(hardware: Hardware, seed: int | None = None) -> None:
    """Threads and the allocator on a CPU, TF32 for what remains in fp32 next to 16-bit on a GPU.

    Args:
        hardware: what is asked for.
        seed: of everything that is drawn in training.
    """
    if seed is not None:
        import lightning.pytorch as pl  # late: those who only predict need not wait for it

        pl.seed_everything(seed, workers=True, verbose=False)
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    if hardware.on_gpu:
        torch.set_float32_matmul_precision("highest" if hardware.precision == "32-true" else "high")
    else:
        keep_large_buffers()


def multiplies_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively; other systems than Linux are taken at their word."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        return True
    known = flags.read_text(encoding="utf-8")
    return "amx_bf16" in known or "avx512_bf16" in known
