"""Processor, memory, shared memory, disks and the programs around a run."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from cloze.config.hardware import Hardware
from cloze.doctor.findings import Finding, gib
from cloze.doctor.limits import cgroup_cores, cgroup_memory
from cloze.runtime.redaction import has_wandb_key

MIB, GIB = 2**20, 2**30
LEAST_DISK = 200 * MIB
"""Below it not even the smallest run finds room."""
SMALL_DISK = 5 * GIB
BATCH_BYTES = 40
"""Of a batch in shared memory, for each token: three int64, and the masked tokens and bounds next to them."""
AHEAD = 3
"""Batches of each worker that are on their way at once: torch prefetches two, and one is in use."""
SHARED = Path("/dev/shm")


def check_processor(hardware: Hardware) -> Iterator[Finding]:
    """Cores that may be used, against the threads that torch would start."""
    there = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    limit = cgroup_cores()
    usable = min(allowed, limit) if limit is not None else allowed
    threads = hardware.threads or torch.get_num_threads()
    limited = f" (this container's limit: {limit:g})" if limit is not None and limit < there else ""
    yield Finding(
        topic="processor",
        level="good",
        text=f"{_processor()}: {there} cores, {usable:g} of them ours{limited}; torch uses {threads} threads",
        figures={"cores": there, "usable_cores": usable, "threads": threads},
    )
    wanted = threads * (hardware.devices if not hardware.on_gpu else 1)
    if wanted > max(1, usable):
        yield Finding(
            topic="processor",
            level="warning",
            text=f"{wanted} threads on {usable:g} cores: they wait for each other, and training slows several times",
            advice=f"hardware.threads={max(1, int(usable // max(1, hardware.devices)))}, or OMP_NUM_THREADS as many",
        )
    if not torch.backends.mkl.is_available() and not torch.backends.mkldnn.is_available():
        yield Finding(
            topic="processor",
            level="warning",
            text="this torch has neither MKL nor oneDNN: matrix products on the processor are many times slower",
            advice="install torch from pip or conda-forge",
        )
    yield from _openmp_libraries()


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _openmp_libraries() -> Iterator[Finding]:
    """Two of them in one process have a pool of threads each, which spin against each other."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    text = maps.read_text(encoding="utf-8")
    found = [name for name in ("libgomp", "libiomp5", "libomp") if f"/{name}" in text]
    if len(found) > 1:
        yield Finding(
            topic="processor",
            level="warning",
            text=f"{len(found)} OpenMP libraries ({', '.join(found)}) are loaded: their threads disturb each other",
            advice="an environment from one source, pip or conda, has one of them",
        )


def check_memory(hardware: Hardware) -> Iterator[Finding]:
    """Memory, and the shared memory through which workers hand over batches."""
    total, free = _memory()
    if total is not None and free is not None:
        limit = cgroup_memory()
        limited = f"; this container's limit is {gib(limit)}" if limit is not None and limit < total else ""
        low = free < GIB
        yield Finding(
            topic="memory",
            level="warning" if low else "good",
            text=f"{gib(free)} of {gib(total)} free{limited}",
            advice="end other programs; a small model still needs about 1 GiB" if low else "",
            figures={"bytes": total, "free_bytes": free, "limit_bytes": limit},
        )
    if not SHARED.is_dir():
        return
    usage = shutil.disk_usage(SHARED)
    tokens = hardware.micro_batch_tokens
    needed = hardware.devices * hardware.workers * AHEAD * BATCH_BYTES * tokens
    short = needed > usage.free
    yield Finding(
        topic="memory",
        level="failure" if short else "good",
        text=f"{gib(usage.free)} of {gib(usage.total)} shared memory free in {SHARED}; "
        + (f"the batches of {hardware.workers} workers need {gib(needed)}" if needed else "no workers ask for it"),
        advice="docker run --shm-size=8g (or --ipc=host), or hardware.workers=0" if short else "",
        figures={"shared_bytes": usage.total, "shared_free_bytes": usage.free, "shared_needed_bytes": needed},
    )


def _memory() -> tuple[int | None, int | None]:
    """Bytes there are, and that are available."""
    file = Path("/proc/meminfo")
    if not file.exists():
        return None, None
    rows = dict(line.split(":", 1) for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]


def check_disks(runs: Path, data: Path) -> Iterator[Finding]:
    """Room, and the right to write, where runs, corpora and temporary files go."""
    temporary = Path(tempfile.gettempdir())
    asked = (("runs", "folder", runs), ("corpora", "corpus.prepared", data), ("temporary files", "TMPDIR", temporary))
    for name, key, folder in asked:
        place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(place).free
        if not os.access(place, os.W_OK | os.X_OK):
            yield Finding(
                topic="disk",
                level="failure",
                text=f"{name}: {folder} cannot be written",
                advice=f"choose another one: {key}=...",
                figures={"folder": str(folder), "free_bytes": free},
            )
            continue
        level = "failure" if free < LEAST_DISK else "warning" if free < SMALL_DISK else "good"
        yield Finding(
            topic="disk",
            level=level,  # type: ignore[arg-type]
            text=f"{name}: {gib(free)} free in {folder}",
            advice="" if level == "good" else f"make room, or choose another one: {key}=...",
            figures={"folder": str(folder), "free_bytes": free},
        )


def check_programs() -> Iterator[Finding]:
    """What a run would leave out, without failing."""
    if shutil.which("git") is None:
        yield Finding(
            topic="others",
            level="note",
            text="git is not installed: the config.yaml of a run cannot record the revision",
            advice="install git",
        )
    if not has_wandb_key():
        yield Finding(
            topic="others",
            level="note",
            text="there is no key for Weights & Biases: logger=wandb keeps its files in the folder of the run",
            advice="wandb login, or set WANDB_API_KEY; wandb sync sends them later",
        )
