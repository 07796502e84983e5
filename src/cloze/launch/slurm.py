"""Slurm: requeue a job."""

import os
import subprocess
import sys


def requeue() -> None:
    """Put this job into the queue once more; what follows of it is then ended by Slurm."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
        problem = done.stderr.strip().partition("\n")[0] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    said = f"warning: job {job} is not queued again ({problem})" if problem else f"note: job {job} is queued again"
    print(said, file=sys.stderr, flush=True)
