"""Try data-loading workers: shared memory, pinned memory, and forks next to CUDA."""

import subprocess
import sys
from collections.abc import Iterator

from cloze.config.hardware import Hardware
from cloze.doctor.findings import Finding
from cloze.runtime.wording import counted

LONGEST = 60.0  # seconds

PROBE = """\
import sys, torch
from torch.utils.data import DataLoader, TensorDataset

workers, tokens, gpu = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "gpu"
if gpu:
    torch.zeros(1, device="cuda")  # as training has it: the workers are forked from a process that uses the GPU
rows = TensorDataset(torch.zeros(4 * workers, 5 * tokens, dtype=torch.int64))
loader = DataLoader(rows, batch_size=1, num_workers=workers, pin_memory=gpu)
for (batch,) in loader:
    if gpu:
        batch = batch.to("cuda", non_blocking=True)
    assert batch.sum().item() == 0
"""


def check_workers(hardware: Hardware) -> Iterator[Finding]:
    """Draw batches as large as the configuration's from as many workers."""
    if not hardware.workers:
        return
    words = [str(hardware.workers), str(hardware.micro_batch_tokens), "gpu" if hardware.on_gpu else "cpu"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        text = f"{counted(hardware.workers, 'workers')} made no batch within {LONGEST:.0f} s"
        yield Finding(topic="workers", level="failure", text=text, advice="hardware.workers=0 works without them")
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        yield Finding(
            topic="workers",
            level="failure",
            text=f"{counted(hardware.workers, 'workers')} cannot hand over batches: {lines[-1]}",
            advice="more shared memory (docker run --shm-size=8g), or hardware.workers=0",
        )
    else:
        text = f"batches of {hardware.micro_batch_tokens:,} tokens come from {counted(hardware.workers, 'workers')}"
        yield Finding(topic="workers", level="good", text=text, figures={"workers": hardware.workers})
