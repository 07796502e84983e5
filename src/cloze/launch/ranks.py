"""What a process has to know of the others before Lightning lets them meet."""

import os

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only

from cloze.config.sections import Hardware
from cloze.errors import InputError

TOLD = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment that Lightning's launcher sets for the ranks that it starts."""
_BEFORE: dict[str, str | None] = {}


def begin_ranks(hardware: Hardware) -> None:
    """Begin a job: with no group of processes left by the one before, and knowing which rank this process is.

    Raises:
        InputError: there are several nodes, and nothing says which one this is or where the first one is.
    """
    if torch.distributed.is_initialized():  # the job before, of the same sweep
        torch.distributed.destroy_process_group()
        for name, value in _BEFORE.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    _BEFORE.update({name: os.environ.get(name) for name in TOLD})
    if hardware.num_nodes == 1 or SLURMEnvironment.detect() or TorchElasticEnvironment.detect():
        return
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if missing := [name for name in names if name not in os.environ]:
        raise InputError(
            f"hardware.num_nodes is {hardware.num_nodes}, but the environment lacks {', '.join(missing)}: start "
            "the command on every node with MASTER_ADDR=(the first node) MASTER_PORT=(a free port there) NODE_RANK="
            f"(0 to {hardware.num_nodes - 1}), or under torchrun or srun"
        )
    # Lightning has looked for a rank only, and takes the first process of every node for the first of all.
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    rank = int(os.environ["NODE_RANK"]) * hardware.devices + local_rank
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
