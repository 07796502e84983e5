"""Pre-training on batches of any objective, as a LightningModule. The config node ``module``."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from cloze.batch import TokenBatch
from cloze.checkpoint.folder import published_head
from cloze.checkpoint.record import Made, Record, import_path
from cloze.checkpoint.training import RECORD_KEY
from cloze.data.pretraining.objective import Objective
from cloze.errors import InputError
from cloze.model.architecture import Kernels, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.model.memory import Memory, StepMemory
from cloze.tasks.training import Recipe, TrainingModule
from cloze.text.manifest import Manifest

B = TypeVar("B", bound=TokenBatch)
LOSS = "loss"
"""The metric that every module has."""


class Pretraining(TrainingModule, Generic[B]):
    """Makes a loss and metrics of the batches of an objective.

    A module adds ``step`` and ``metrics``, and ``make_model`` where its heads are others than the architecture's. It is
    derived from ``Pretraining[MyBatch]``, the type of batch that its objective makes. The optimizer, accumulation,
    ranks, checkpoints, resuming, logging and the model folder are done here.

    Args:
        shape: of the encoder.
        recipe: how it is trained.

    Attributes:
        monitor: the metric on held-out text by which checkpoints are kept and searches choose; lower is better.
        without_teacher: the module that evaluates what this one has taught; None for one that takes no teacher.
        compiles_step: whether ``compile_step`` makes the whole step one graph; else the encoder alone is compiled.
        record: what this module and its objective were made with; None where no configuration made them.
    """

    monitor: ClassVar[str] = LOSS
    without_teacher: ClassVar["type[Pretraining[Any]] | None"] = None
    compiles_step: ClassVar[bool] = False

    def __init__(self, *, shape: EncoderConfig, recipe: Recipe) -> None:
        super().__init__(self.make_model(shape), recipe)
        self.head = published_head(self.model.config, self.model.state_dict())
        self.record: Record | None = None
        self._heldout: dict[int, Tensor] = {}  # sums over the held-out split of each corpus

    @classmethod
    def unsuited(cls, objective: Objective[B]) -> str | None:  # noqa: ARG003 # for others to ask
        """Why an objective that makes such batches does not do for it, after its name; None where it does."""
        return None

    def make_model(self, shape: EncoderConfig) -> EncoderWithHeads:
        """The encoder with its heads, with random weights: by default those of the architecture."""
        return architecture_of(shape).pretraining(shape)

    @abstractmethod
    def step(self, batch: B) -> tuple[Tensor, Tensor]:
        """The loss of a micro-batch, and what the metrics need.

        Returns:
            This micro-batch's part of the loss of its global batch, (): sums over labels, divided by the counts of the
            whole global batch, which the batch carries; so ranks and micro-batches change nothing but the order of
            summation. And (``sums``,) float64 of sums over the micro-batch, without gradient.
        """

    @abstractmethod
    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """``loss``, ``monitor`` and whatever else, from the sums over many micro-batches."""

    def compile_step(self, *, cuda_graphs: bool) -> None:
        """Compile ``step`` as one graph for constant shapes; called where ``compiles_step`` is true."""

    def needed_parts(self, objective: Objective[B]) -> Sequence[str]:
        """The parts of the model that have to be trained before the objective can be evaluated: all of them."""
        return self.model.parts

    def memory(self, of: Memory, kernels: Kernels, tokens: int, masked: int) -> StepMemory:
        """Memory of a training step by formula.

        Args:
            of: one encoder with the heads of its architecture.
            kernels: that compute it.
            tokens: N of a micro-batch.
            masked: M.
        """
        return of(self.model.config, masked=masked, parameters=sum(each.numel() for each in self.parameters()))

    def chance_loss(self, objective: Objective[B], vocab_size: int) -> float | None:
        """The loss of a model that knows nothing, where that is known: by default the objective's."""
        return objective.chance_loss(vocab_size)

    @staticmethod
    def heldout(metrics: Mapping[str, Any], stage: str = "val/") -> dict[str, float]:
        """The metrics of the last evaluation, by their own names, among all that a trainer has; none before it."""
        return {name.removeprefix(stage): float(value) for name, value in metrics.items() if name.startswith(stage)}

    def told(self, metrics: Mapping[str, float]) -> str:
        """What it monitors, in words: ``loss 2.345``."""
        return f"{self.monitor.replace('_', ' ')} {metrics[self.monitor]:.3f}"

    def summary(self, metrics: Mapping[str, float], manifest: Manifest) -> list[tuple[str, str]]:
        """The last evaluation on held-out text, as names and sentences for the end of the run."""
        rest = (f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items() if name != self.monitor)
        return [("held-out text", ", ".join([self.told(metrics), *rest]))]

    def recorded(self) -> Record:
        """What the model folder says of how the model was made."""
        return self.record or Record(module=Made(target=import_path(type(self))))

    def training_step(self, batch: B, _: int) -> Tensor:
        """This micro-batch's part of the global loss."""
        loss, sums = self.step(batch)
        self.since_last_row.add(sums, batch.num_tokens)
        # Lightning divides by the micro-batches it accumulates and averages over the ranks; the counts that the loss
        # was divided by have done both already.
        return loss * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def validation_step(self, batch: B, _: int, dataloader_idx: int = 0) -> None:
        """Add to the sums over the held-out split of a corpus."""
        _loss, sums = self.step(batch)
        own = self._heldout.get(dataloader_idx)
        self._heldout[dataloader_idx] = sums if own is None else own + sums

    def row(self, sums: list[float]) -> dict[str, float | Tensor]:
        """The metrics of training."""
        return self.named(sums, "train")

    def on_validation_epoch_end(self) -> None:
        """The metrics over the held-out split."""
        own = torch.stack([self._heldout[number] for number in sorted(self._heldout)])
        sums = self.trainer.strategy.reduce(own, reduce_op="sum")
        self._heldout = {}
        row = {**self.named(sums.sum(0).tolist(), "val"), **self.since_last_row.seen(self.trainer)}
        # Of a mixture; a trainer that was given loaders has no data module.
        names = getattr(getattr(self.trainer, "datamodule", None), "heldout_names", ())
        for name, one in zip(names, sums.tolist(), strict=bool(names)):
            row |= self.named(one, f"val/{name}")
        self.log_dict(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As of every training; and what the model folder records."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[RECORD_KEY] = self.recorded().as_json()

    def named(self, sums: Sequence[float], stage: str) -> dict[str, float | Tensor]:
        """The metrics of sums under the names by which they are logged: ``val/loss``."""
        found = self.metrics(sums)
        if missing := {LOSS, self.monitor} - found.keys():
            raise InputError(
                f"module: the metrics of {import_path(type(self))} lack {', '.join(sorted(missing))}: it must be there"
            )
        return {f"{stage}/{name}": value for name, value in found.items()}
