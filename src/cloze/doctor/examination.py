"""Run all checks, each after those that it depends on."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cloze.config.hardware import Hardware
from cloze.doctor.findings import Finding
from cloze.doctor.packages import check_imports, check_packages

Step = tuple[str, Callable[[], Iterable[Finding]]]


def examine(hardware: Hardware, runs: Path, data: Path, tell: Callable[[str], None]) -> Iterator[Finding]:
    """Look at everything.

    Args:
        hardware: that a run would ask for.
        runs: the folder of runs.
        data: the folder of prepared corpora.
        tell: called with the name of the next check.
    """
    for name, step in _steps(hardware, runs, data):
        tell(name)
        yield from step()


def _steps(hardware: Hardware, runs: Path, data: Path) -> Iterator[Step]:
    yield "packages", check_packages
    try:
        importlib.import_module("torch")
    except Exception as error:  # a library that is missing, a package that is truncated: whatever an import can raise
        message = str(error).strip().partition("\n")[0]
        yield "torch", lambda: [_without_torch(message)]
        return
    from cloze.doctor import devices, machine, workers

    yield "processor", lambda: machine.check_processor(hardware)
    yield "memory", lambda: machine.check_memory(hardware)
    yield "disk", lambda: machine.check_disks(runs, data)
    yield "processor's speed", lambda: devices.check_processor_speed(hardware)
    yield "devices", lambda: devices.check_build(hardware)
    if hardware.on_gpu:
        yield "GPUs", devices.check_gpus
    yield "workers", lambda: workers.check_workers(hardware)
    yield "imports", check_imports
    yield "others", machine.check_programs


def _without_torch(message: str) -> Finding:
    advice = "install torch again: pip install --force-reinstall 'torch>=2.11'"
    return Finding(topic="imports", level="failure", text=f"torch cannot be imported: {message}", advice=advice)
