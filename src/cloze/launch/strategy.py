"""Lightning strategies for one or several processes."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy, Strategy
from torch.optim import Optimizer

from cloze.config.hardware import Hardware
from cloze.config.nodes import Node
from cloze.errors import InputError
from cloze.model.encoder import Encoder
from cloze.model.kernels.fp8 import multiply_in_fp8
from cloze.model.sharding import cut_like, load_whole, whole
from cloze.optim.trial import OptimizerFactory


def make_strategy(hardware: Hardware) -> str | Strategy:
    """The strategy; with a limit to how long a process waits for the others."""
    timeout = timedelta(seconds=hardware.collective_timeout)
    if hardware.strategy == "ddp":
        return DDPStrategy(timeout=timeout)
    if hardware.strategy == "fsdp":
        return FullySharded(timeout=timeout)
    return hardware.strategy


def check_optimizer(optimizer: Node[OptimizerFactory], hardware: Hardware) -> None:
    """Compare the node of an optimizer with the strategy.

    Raises:
        InputError: it looks at whole parameters, of which each rank has only a part.
    """
    if hardware.strategy != "fsdp":
        return
    from pytorch_optimizer import Lamb, StableAdamW  # late: it takes a second

    if isinstance(optimizer.type, type) and issubclass(optimizer.type, Lamb | StableAdamW):
        name = optimizer.type.__name__
        raise InputError(
            f"{name} scales each step by the norm of a whole parameter, but hardware.strategy=fsdp leaves each rank a "
            "part of it: take hardware=ddp, or optimizer=adamw or muon"
        )


def compute_as(hardware: Hardware, encoder: Encoder, *, static_shapes: bool, one_graph: bool = False) -> None:
    """Have an encoder computed as the hardware asks. Compiled, it keeps the names in its state.

    Args:
        hardware: what is asked for.
        encoder: before its parameters are sharded.
        static_shapes: whether all batches have the same shapes.
        one_graph: whether it is compiled as a part of the whole step.
    """
    encoder.gradient_checkpointing = hardware.gradient_checkpointing
    encoder.use_kernel(hardware.attention)
    if hardware.precision == "fp8-mixed":
        multiply_in_fp8(encoder)
    if not hardware.compile or one_graph:
        return
    if hardware.strategy != "fsdp":
        encoder.compile(dynamic=not static_shapes)
        return
    for block in encoder.blocks:  # whose parameters come and go around it: what gathers and shards them stays outside
        block.forward = torch.compile(block.forward, dynamic=not static_shapes)


def is_one_graph(hardware: Hardware) -> bool:
    """Whether the whole step of pre-training is compiled as one graph, where nothing stands against it.

    Against it: shapes that change, attention that asks the host for lengths, and several processes, which send
    gradients, or fetch parameters, between the layers. Then the encoder alone is compiled.
    """
    alone = hardware.strategy not in ("ddp", "fsdp") and hardware.devices * hardware.num_nodes == 1
    return hardware.compile and hardware.static_shapes and hardware.kernel != "reference" and alone


class FullySharded(ModelParallelStrategy):
    """FSDP2 over all ranks, with the checkpoints of any other strategy.

    The modules are sharded in ``configure_model``. A checkpoint holds whole tensors, and the state of the optimizer
    as its own ``state_dict`` has it: so it is the same file as under DDP or in one process, any of which resumes from
    it. Lightning's own way assembles by the names of parameters, reads the file past our plug-in, and knows no
    optimizer made of two.
    """

    def __init__(self, *, timeout: timedelta) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timeout)

    def setup_environment(self) -> None:
        """The processes meet; all of them share the parameters."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """As under DDP: callbacks have their state before training is set up."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """By ``load_optimizer_state_dict``."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole module on rank zero, nothing on the others."""
        assert self.lightning_module is not None
        return whole(self.lightning_module.state_dict(), keep=self.is_global_zero)  # type: ignore[no-any-return]

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state on rank zero, nothing on the others."""
        return whole(optimizer.state_dict(), keep=self.is_global_zero)  # type: ignore[no-any-return]

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Rank zero writes."""
        ParallelStrategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Every rank maps the file into its memory, and will read of it what it needs."""
        return ParallelStrategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each rank its part."""
        assert self.lightning_module is not None
        load_whole(self.lightning_module, checkpoint["state_dict"])

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Each rank its part."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(_cut(state, optimizer))


def _cut(state: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """The state of an optimizer over sharded parameters, from that over whole ones."""
    if "parts" in state:  # of an optimizer made of several
        return {"parts": [_cut(part, own) for part, own in zip(state["parts"], optimizer.parts, strict=True)]}
    numbers = (number for group in state["param_groups"] for number in group["params"])
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    by_number = dict(zip(numbers, parameters, strict=True))
    cut = {
        number: {name: cut_like(value, by_number[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": cut}
