"""Checks between processes before Lightning connects them."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only
from torch._C._distributed_c10d import TCPStore
from torch.distributed import DistStoreError
from torch.distributed.distributed_c10d import PrefixStore, Store

from cloze.config.hardware import Hardware
from cloze.errors import InputError
from cloze.launch.launcher import join_ranks

TOLD = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE")
"""Variables of the environment that Lightning's launcher sets for the ranks that it starts, or that we change."""
_BEFORE: dict[str, str | None] = {}


class Ranks:
    """All processes of a run, before they compute together.

    Args:
        rank: of this one among all.
        store: in which they can leave words for each other; None for one process. Rank zero may serve it.
        others: the ranks that do not wait for this process to start them.
    """

    def __init__(self, rank: int, store: Store | None, others: Sequence[int] = ()) -> None:
        self.rank = rank
        self.store = store
        self.others = others

    def decide(self, question: str, decision: Callable[[], Path | None]) -> Path | None:
        """What rank zero decides, for all: no two may resume from different checkpoints.

        Rank zero continues when the others know: it may be about to end, and the store with it.

        Args:
            question: its name, another for each decision of a run.
            decision: asked on rank zero only.

        Raises:
            InputError: what it raised, on all.
        """
        if self.store is None:
            return decision()
        if self.rank == 0:
            try:
                path = decision()
            except InputError as error:
                self._tell(question, {"error": str(error)})
                raise
            self._tell(question, {"path": None if path is None else str(path)})
            return path
        answer = json.loads(self.store.get(question))
        self.store.set(f"{question}, known to {self.rank}", "")
        if "error" in answer:
            raise InputError(answer["error"])
        return None if answer["path"] is None else Path(answer["path"])

    def _tell(self, question: str, answer: dict[str, str | None]) -> None:
        assert self.store is not None
        self.store.set(question, json.dumps(answer))
        with suppress(DistStoreError):  # who has not come by now is missed where they compute together
            self.store.wait([f"{question}, known to {rank}" for rank in self.others])


def begin_ranks(hardware: Hardware) -> Ranks:
    """Begin a job: with no group of processes left by the one before, and knowing which rank this process is.

    Raises:
        InputError: there are several nodes, and nothing says which one this is or where the first one is.
    """
    join_ranks()
    if torch.distributed.is_initialized():  # the job before, of the same sweep
        torch.distributed.destroy_process_group()
        for name, value in _BEFORE.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    _BEFORE.update({name: os.environ.get(name) for name in TOLD})
    world = hardware.devices * hardware.num_nodes
    environment = cluster(hardware)
    if isinstance(environment, LightningEnvironment):
        rank, others = _own_rank(hardware), range(hardware.devices, world, hardware.devices)  # the first of each node
    else:
        rank, others = environment.global_rank(), range(1, world)
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # Lightning looks for one before all is known
    return Ranks(rank, None if world == 1 else _store(environment, hardware, rank), others)


def cluster(hardware: Hardware) -> ClusterEnvironment:
    """The environment that tells this process its rank.

    Lightning by itself would take any shell in an allocation of Slurm for one of its tasks.
    """
    if hardware.launcher == "slurm":
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(hardware.devices))  # Lightning insists
        return SLURMEnvironment(auto_requeue=False)  # it would save in the midst of a step
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return LightningEnvironment()


def _own_rank(hardware: Hardware) -> int:
    """Of a process that the command itself has started."""
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if hardware.num_nodes > 1 and (missing := [name for name in names if name not in os.environ]):
        raise InputError(
            f"hardware.num_nodes is {hardware.num_nodes}, but the environment has no {', '.join(missing)}: start "
            "the command on every node with MASTER_ADDR=(the first node) MASTER_PORT=(a free port there) NODE_RANK="
            f"(0 to {hardware.num_nodes - 1}), or under torchrun or srun"
        )
    # Lightning has looked for a rank only, and takes the first process of every node for the first of all.
    node = int(os.environ["NODE_RANK"]) if hardware.num_nodes > 1 else 0
    return node * hardware.devices + int(os.environ.get("LOCAL_RANK", "0"))


def _store(environment: ClusterEnvironment, hardware: Hardware, rank: int) -> Store:
    """Where the processes will meet, open from now on; torch shares one server between all who open it."""
    own = isinstance(environment, LightningEnvironment)
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and not own  # by torchrun itself
    address = environment.main_address
    port = int(os.environ.get("MASTER_PORT", "0")) if own else environment.main_port
    timeout = timedelta(seconds=hardware.collective_timeout)
    store = _open(address, port, serve=rank == 0 and not served, timeout=timeout)
    attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if served and attempt:
        # torchrun may keep its server over restarts, and torch would find the addresses of the dead there.
        words = PrefixStore(f"cloze/{attempt}", store)
        if rank == 0:
            store = _open(address, 0, serve=True, timeout=timeout)
            words.set("port", str(store.port))
        else:
            store = _open(address, int(words.get("port")), serve=False, timeout=timeout)
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    if own or attempt:  # torch, and the ranks that Lightning starts, look there
        os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(store.port))
    return PrefixStore("cloze", store)


def _open(address: str, port: int, *, serve: bool, timeout: timedelta) -> TCPStore:
    return TCPStore(address, port, is_master=serve, timeout=timeout, wait_for_workers=False, multi_tenant=True)
