"""What the LightningModules of all downstream tasks share: the update, the evaluation of whole splits."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cloze.batch import TaskBatch
from cloze.checkpoint import training
from cloze.data.downstream.examples import Example
from cloze.data.downstream.items import Item
from cloze.data.downstream.module import Split, TaskData
from cloze.model.sharding import shard
from cloze.model.task_heads import TaskModel
from cloze.optim.clipping import clip_gradients
from cloze.optim.groups import parameter_groups
from cloze.optim.schedules import Schedule
from cloze.optim.updates import copied_parameters, update_ratios
from cloze.tasks.since_last_row import SinceLastRow, log_past

E = TypeVar("E", bound=Example)
Prediction = dict[str, Any]
"""What is said of one example, JSON-able: ``id``, its texts, ``prediction``, ``probability``, what its shape adds, and
where it is labelled ``label`` and ``correct`` (for scores ``error``, the absolute difference)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a task model is trained, whatever its shape.

    Attributes:
        optimizer: from parameter groups to an optimizer; its learning rate is the schedule's peak.
        schedule: the multiplier of the learning rate.
        length: of training, in steps or seconds.
        position: where training stands, from the number of optimizer steps; by default that number.
        weight_decay: of matrices; biases and norms never decay.
        layer_decay: the learning rate of each layer, as a share of that of the layer above.
        log_every: optimizer steps between two rows of the training metrics.
    """

    optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer]
    schedule: Schedule
    length: float
    position: Callable[[int], float] = float
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    log_every: int = 10


class FineTuning(LightningModule, ABC, Generic[E]):
    """A task model in training. A shape of task adds ``step``, ``predictions`` and ``metrics``.

    Losses are sums divided by the count of labels of the whole global batch, so ranks and micro-batches change nothing
    but the order of summation.

    Attributes:
        architecture: Hugging Face's class that the model is saved as.
        per_token: whether outputs have one row a token, (N, ...), or one an item, (I, ...).
        problem_type: Hugging Face's word for the kind of labels, where the architecture has several.
        main_metric: the one that picks the best checkpoint; higher is better.
    """

    architecture: ClassVar[str]
    per_token: ClassVar[bool] = False
    problem_type: str | None = None
    main_metric: str

    def __init__(self, *, model: TaskModel, labels: Sequence[str], recipe: Recipe) -> None:
        """Put together what trains.

        Args:
            model: the encoder with the head of the task.
            labels: names of the classes, in the order of the outputs.
            recipe: how it is trained.
        """
        super().__init__()
        self.model = model
        self.labels = list(labels)
        self.recipe = recipe
        self.since_last_row = SinceLastRow(recipe.log_every)  # (2,) float64, summed losses and labels
        self._outputs: dict[int, dict[int, np.ndarray]] = {}  # of each dev split, by the number of the item

    @abstractmethod
    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses, (), and the outputs, (N, ...) or (I, ...)."""

    @abstractmethod
    def predictions(
        self, examples: Sequence[E], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """One for each example, in their order, from the outputs of each item."""

    @abstractmethod
    def metrics(self, examples: Sequence[E], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The task's own, fractions in [0, 1], ``main_metric`` among them."""

    def get_extra_state(self) -> dict[str, float]:
        """What training has found beside the parameters; kept in checkpoints and in the model folder."""
        return {}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Take over what `get_extra_state` has told."""

    def configure_model(self) -> None:
        """Under FSDP2, which alone has a mesh of devices: cut the parameters."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"], bf16=self.trainer.precision == "bf16-mixed")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer over groups of parameters, and the schedule as a function of the step."""
        recipe = self.recipe
        optimizer = recipe.optimizer(parameter_groups(self.model, recipe.weight_decay, recipe.layer_decay))
        rates: list[Callable[[int], float]] = [
            partial(self._rate, scale=group.get("lr_scale", 1.0)) for group in optimizer.param_groups
        ]
        scheduler = LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate(self, step: int, *, scale: float) -> float:
        return scale * self.recipe.schedule(self.recipe.position(step), self.recipe.length)

    def training_step(self, batch: TaskBatch, _: int) -> Tensor:
        """This micro-batch's part of the global loss."""
        loss, _outputs = self.step(batch)
        parts = self.trainer.accumulate_grad_batches * self.trainer.world_size
        # Every micro-batch carries the count of its whole global batch.
        labels = torch.tensor(batch.global_labels / parts, dtype=torch.float64, device=loss.device)
        self.since_last_row.add(torch.stack([loss.detach().double(), labels]), batch.num_tokens)
        # Lightning divides by the micro-batches it accumulates and averages over the ranks; the count has done both.
        return loss / batch.global_labels * parts

    def on_train_start(self) -> None:
        """The row of the step that a resumed run goes on from."""
        if row := self._row():
            log_past(self.trainer, row)

    def on_train_batch_end(self, *_: Any) -> None:
        """After every ``recipe.log_every``-th optimizer step: the mean loss since the last time."""
        if row := self._row():
            self.log_dict(row, batch_size=1)

    def _row(self) -> dict[str, float | Tensor]:
        sums = self.since_last_row.take(self.trainer)
        if sums is None:
            return {}
        seen = self.since_last_row.seen_at_row(self.trainer)
        return {"train/loss": sums[0] / max(1.0, sums[1]), **self.since_last_row.optimizer, **seen}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The next row of a resumed run shall be the same; and what makes a model folder of a checkpoint."""
        checkpoint["since_last_row"] = self.since_last_row.state(self.trainer)
        checkpoint[training.KEY] = training.description(
            self.model,
            self.trainer.datamodule.tokenizer,  # type: ignore[attr-defined]
            architecture=self.architecture,
            labels=self.labels,
            problem_type=self.problem_type,
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the sums."""
        self.since_last_row.load(checkpoint["since_last_row"], self.trainer)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the global norm, and keep what there is to log of it."""
        self.since_last_row.optimizer = clip_gradients(optimizer, gradient_clip_val)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """The step, and where a row comes after it, how far it moved the parameters."""
        step = self.trainer.global_step + 1
        last = self.recipe.position(step) >= self.recipe.length  # which has a row, too
        due = self.since_last_row.due(step) or last
        before = copied_parameters(optimizer) if due else None
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if before is not None:
            self.since_last_row.optimizer |= update_ratios(optimizer, before)

    def validation_step(self, batch: TaskBatch, _: int, dataloader_idx: int = 0) -> None:
        """Keep the outputs until the split is complete."""
        self._outputs.setdefault(dataloader_idx, {}).update(self.outputs(batch))

    def predict_step(self, batch: TaskBatch, _: int) -> dict[int, np.ndarray]:
        """The outputs of each item of a batch, by its number."""
        return self.outputs(batch)

    def on_validation_epoch_end(self) -> None:
        """The task's metrics on each dev split, from all of its predictions."""
        data: TaskData[E] = self.trainer.datamodule  # type: ignore[attr-defined]
        for number, split in enumerate(data.dev_splits):
            outputs = self.gathered(self._outputs.pop(number, {}), len(data.splits[split].items))
            scores = self.scores(data.splits[split], outputs)
            self.log_dict({f"{prefix(split)}/{name}": value for name, value in scores.items()}, batch_size=1)
        self.log_dict(self.since_last_row.seen(self.trainer), batch_size=1)

    def outputs(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        """The outputs of each item of a batch, by its number."""
        outputs = self.step(batch)[1].detach().float().cpu().numpy()
        rows = np.split(outputs, batch.packed.cu_seqlens[1:-1].cpu().numpy()) if self.per_token else list(outputs)
        return {item: row.copy() for item, row in zip(batch.items.tolist(), rows, strict=True) if item >= 0}

    def gathered(self, outputs: dict[int, np.ndarray], items: int) -> list[np.ndarray]:
        """The outputs of all ranks, in the order of the items."""
        if self.trainer.world_size > 1:
            parts: list[dict[int, np.ndarray]] = [{} for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(parts, outputs)
            outputs = {number: row for part in parts for number, row in part.items()}
        return [outputs[number] for number in range(items)]

    def scores(self, split: Split[E], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """The metrics of a split."""
        return self.metrics(split.examples, self.predictions(split.examples, split.items, outputs))


def prefix(split: str) -> str:
    """The section of a dev split in the metrics: ``val``, and ``val_matched`` where there are several."""
    return "val" + split.removeprefix("dev")
