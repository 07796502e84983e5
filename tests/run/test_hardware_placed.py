"""How many processes there are, as torchrun and Slurm tell them."""

import pytest

from cloze.config.hardware import Hardware
from cloze.errors import InputError
from cloze.run.hardware import placed

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "a", "MASTER_PORT": "1",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NTASKS": "8", "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8",
}  # fmt: skip
SALLOC = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "any"}


@pytest.mark.parametrize(("launcher", "environment"), [("torchrun", TORCHRUN), ("slurm", SLURM)])
def test_the_launcher_says_how_many(launcher: str, environment: dict[str, str]) -> None:
    found = placed(Hardware(launcher=launcher), environment)  # type: ignore[arg-type]
    assert (found.devices, found.num_nodes) == (4, 2)


def test_a_shell_in_an_allocation_is_no_task() -> None:
    assert placed(Hardware(devices=2), SALLOC).devices == 2
    assert placed(Hardware(), {**SALLOC, "SLURM_STEP_ID": "1", "SLURM_STEP_NUM_TASKS": "1"}).devices == 1


@pytest.mark.parametrize(
    ("hardware", "environment", "sentence"),
    [
        (Hardware(launcher="torchrun"), {}, "torchrun --nproc-per-node=.* hardware=torchrun"),
        (Hardware(launcher="slurm"), SALLOC, "srun --ntasks-per-node=.* hardware=slurm"),
        (Hardware(launcher="slurm"), {**SLURM, "SLURM_NTASKS_PER_NODE": "2"}, "8 tasks on 2 nodes: give --ntasks-per"),
        (Hardware(launcher="torchrun", devices=3), TORCHRUN, "has started 8 processes: leave both out"),
        (Hardware(launcher="torchrun"), {**TORCHRUN, "WORLD_SIZE": "7"}, "same --nproc-per-node"),
        (Hardware(devices=2), TORCHRUN, "torchrun has started 8 processes, .* is 2: take hardware=torchrun"),
        (Hardware(devices=2), SLURM, "slurm has started 8 processes, .* is 2: take hardware=slurm"),
    ],
)
def test_what_does_not_fit_is_refused(hardware: Hardware, environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        placed(hardware, environment)
