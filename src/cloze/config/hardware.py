"""The section `hardware` of a configuration: its keys, defaults and checks."""

from dataclasses import dataclass
from typing import Literal

from cloze.errors import InputError

OfLightning = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "fp8-mixed"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The section `hardware`: may change the speed, never the learning curve.

    Attributes:
        accelerator: `cpu`, `gpu`, or another that Lightning knows.
        devices: processes on each machine, one a device.
        num_nodes: machines.
        launcher: who starts the processes: `python` for the command itself, `torchrun`, or `slurm` for srun. The last
            two also say how many `devices` and `num_nodes` there are.
        requeue: under slurm, ask for the job to be queued again when it ends with SIGUSR1 or `checkpoint.stop_after`.
        strategy: how the processes work together, by Lightning's name: `auto`, `ddp`, ...
        precision: Lightning's name; parameters stay in fp32 for all but the `-true` ones. Besides, an experiment:
            `fp8-mixed`, which is `bf16-mixed` with the products of the blocks in fp8 (needs torchao).
        micro_batch_tokens: at most this many tokens at once in one process. How often gradients are accumulated
            follows.
        attention: the kernel: `triton` (CUDA, 16 bits), `varlen` (the same, no dropout), `sdpa` (anywhere),
            `reference` (for a CPU), or `auto` for the fastest that can do what is asked for.
        compile: compile with `torch.compile`: the whole step where shapes are static and attention waits for nothing,
            else the encoder.
        cuda_graphs: with `compile`, record the step's kernels once and start them all at once.
        static_shapes: pad every micro-batch to the same sizes (under 2 % of the tokens), as compiled code wants.
        gradient_checkpointing: compute each layer's activations again in the backward pass, for less memory.
        workers: processes that make batches next to each training process; 0 makes them in it.
        threads: torch threads of each process; null leaves torch's choice.
        collective_timeout: seconds that a process waits for the others before it gives up.
    """

    accelerator: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    launcher: Literal["python", "torchrun", "slurm"] = "python"
    requeue: bool = False
    strategy: str = "auto"
    precision: Precision = "32-true"
    micro_batch_tokens: int = 4096
    attention: Literal["auto", "triton", "varlen", "sdpa", "reference"] = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    static_shapes: bool = False
    gradient_checkpointing: bool = False
    workers: int = 0
    threads: int | None = None
    collective_timeout: float = 600.0

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "micro_batch_tokens", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"hardware.{name} is {value}, but must be at least 1")
        if self.workers < 0:
            raise InputError(f"hardware.workers is {self.workers}, but cannot be below zero")
        if self.collective_timeout <= 0:
            raise InputError(f"hardware.collective_timeout is {self.collective_timeout}, but must be above zero")
        if self.cuda_graphs and not (self.compile and self.static_shapes and self.on_gpu):
            raise InputError(
                "hardware.cuda_graphs needs a GPU and constant shapes: take hardware=gpu, which has compile and "
                "static_shapes"
            )
        if self.precision == "fp8-mixed" and (not self.on_gpu or self.strategy == "fsdp"):
            raise InputError(
                "hardware.precision is fp8-mixed, which runs on GPUs that hold the whole model: take hardware=gpu or "
                "ddp, or another precision"
            )

    @property
    def of_lightning(self) -> OfLightning:
        """The precision by a name that Lightning knows."""
        return "bf16-mixed" if self.precision == "fp8-mixed" else self.precision

    @property
    def in_half(self) -> bool:
        """Whether products are in 16 bits or fewer."""
        return "16" in self.of_lightning

    @property
    def kernel(self) -> str:
        """The kernel of attention in training: `attention`, with `auto` resolved for heads of the usual sizes."""
        if self.attention != "auto":
            return self.attention
        if not self.on_gpu:
            return "reference"
        return "triton" if self.in_half else "sdpa"

    @property
    def of_results(self) -> dict[str, str | int]:
        """What decides the last bits of a result, by its name."""
        return {name: getattr(self, name) for name in ("accelerator", "precision", "micro_batch_tokens")}

    @property
    def on_gpu(self) -> bool:
        """Whether torch's CUDA devices are meant."""
        return self.accelerator in ("gpu", "cuda")
