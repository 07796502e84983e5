"""Try a configuration for any number of processes in one process."""

import os
from dataclasses import replace
from typing import NamedTuple

import torch

from cloze.config.hardware import Hardware
from cloze.config.schema import Run
from cloze.errors import InputError
from cloze.launch.strategy import check_optimizer
from cloze.run.hardware import TORCHRUN, check_hardware, placed


class Placement(NamedTuple):
    """Where the run would be, and where the step is tried.

    Attributes:
        asked: the hardware of the run.
        here: that of the one process which tries the step.
        ranks: processes of the run.
        notes: how the two differ, for the reader.
    """

    asked: Hardware
    here: Hardware
    ranks: int
    notes: list[str]

    @property
    def same_device(self) -> bool:
        """Whether the step runs on such a device as the run would."""
        return self.asked.accelerator == self.here.accelerator


def alone(config: Run) -> Placement:
    """The placement of a step that is tried in this process.

    Raises:
        InputError: there is no such step, or the hardware cannot be had for another reason than that its devices are
            elsewhere.
    """
    if config.stage != "train":
        raise InputError(f"--dry-run tries a step of training, but stage is {config.stage}: leave one of them out")
    notes, asked = [], config.hardware
    try:
        asked = placed(asked)
    except InputError:
        if asked.launcher == "python":
            raise
        notes.append(f"{asked.launcher} has not started this process: it would set how many there are, taken as 1")
    check_optimizer(config.optimizer, asked)
    ranks = asked.devices * asked.num_nodes
    if ranks > 1:
        notes.append(f"{ranks} processes: one of them is tried, with its share of a step")
    if asked.strategy not in ("auto", "ddp", "fsdp") and ranks > 1:
        notes.append(f"strategy={asked.strategy} is not tried")
    here = replace(asked, devices=1, num_nodes=1, launcher="python", strategy="auto")
    if asked.on_gpu and torch.cuda.device_count() == 0:
        notes.append(
            "torch sees no GPU here: the step is tried on the processor in fp32, which says nothing about time"
        )
        here = replace(
            here, accelerator="cpu", precision="32-true", attention="auto", compile=False, cuda_graphs=False, workers=0,
            static_shapes=False,
        )  # fmt: skip
    elif asked.on_gpu and (there := torch.cuda.device_count()) < asked.devices:
        notes.append(f"hardware.devices is {asked.devices}, but torch sees {there} here")
    check_hardware(here)
    for name in (*TORCHRUN, "GROUP_RANK"):  # Lightning would wait for the others
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    return Placement(asked, here, ranks, notes)
