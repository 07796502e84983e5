"""The base LightningModule of fine-tuning: the loss, and the evaluation of whole splits."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from cloze.batch import TaskBatch
from cloze.checkpoint.record import Made, Record, import_path
from cloze.checkpoint.training import RECORD_KEY
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import Split, TaskData
from cloze.data.tables.examples import Example, Prediction
from cloze.model.task_heads import TaskModel
from cloze.tasks.teacher import Teacher
from cloze.tasks.training import Recipe, TrainingModule

E = TypeVar("E", bound=Example)


class FineTuning(TrainingModule, Generic[E]):
    """A task model in training. A shape of task adds ``step``, ``predictions`` and ``metrics``.

    Losses are sums divided by the count of labels of the whole global batch, so ranks and micro-batches change nothing
    but the order of summation.

    Attributes:
        per_token: whether outputs have one row a token, (N, ...), or one an item, (I, ...).
        training_arguments: of the constructor, that only training reads; the model folder does not record them.
        main_metric: the one that picks the best checkpoint; higher is better.
        record: what this module and its features were made with; None where no configuration made them.
    """

    sums: ClassVar[int] = 2
    model: TaskModel
    per_token: ClassVar[bool] = False
    training_arguments: ClassVar[tuple[str, ...]] = ()
    main_metric: str

    def __init__(self, *, model: TaskModel, labels: Sequence[str], recipe: Recipe) -> None:
        """Put together what trains.

        Args:
            model: the encoder with the head of the task.
            labels: names of the classes, in the order of the outputs.
            recipe: how it is trained.
        """
        super().__init__(model, recipe)
        self.labels = list(labels)
        self.record: Record | None = None
        self._outputs: dict[int, dict[int, np.ndarray]] = {}  # of each dev split, by the number of the item

    @abstractmethod
    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses, (), and the outputs, (N, ...) or (I, ...)."""

    def logits(self, model: TaskModel, batch: TaskBatch) -> Tensor:
        """The outputs of a model of this task, (N, ...) or (I, ...)."""
        return model(batch)  # type: ignore[no-any-return]

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """How far outputs are from those of a teacher, summed over the labels of a batch, ().

        Raises:
            NotImplementedError: this task learns from none.
        """
        raise NotImplementedError

    def learn_from(self, teacher: Teacher[TaskModel], *, weight: float, temperature: float) -> None:
        """Take the outputs of a teacher as targets in training, too.

        Args:
            teacher: with the same labels, in any order.
            weight: the share of its targets in the loss; the labels have the rest.
            temperature: of them.
        """
        self.teacher, self.soft_weight, self.temperature = teacher, weight, temperature
        self._order = [teacher.labels.index(label) for label in self.labels]

    @abstractmethod
    def predictions(
        self, examples: Sequence[E], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """One for each example, in their order, from the outputs of each item."""

    @abstractmethod
    def metrics(self, examples: Sequence[E], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The task's own, fractions in [0, 1], ``main_metric`` among them."""

    def attach(self, data: TaskData[E]) -> None:
        """Keep what the steps read of the data besides their batches; most read nothing.

        Args:
            data: encoded.

        Raises:
            InputError: they have not what this module reads.
        """

    def check_split(self, split: str, examples: Sequence[E], *, is_monitored: bool = False) -> list[str]:
        """What the reader should know of the metrics of a split, before training.

        Args:
            split: its name.
            examples: of it.
            is_monitored: the main metric there picks the best weights.

        Raises:
            InputError: the main metric cannot do that.
        """
        return []

    def get_extra_state(self) -> dict[str, float]:
        """What training has found besides the parameters; kept in checkpoints and in the model folder."""
        return {}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Restore what `get_extra_state` returned."""

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """Columns of `predictions` with their types, in Parquet; those of others follow from the first rows."""
        return {}

    def recorded(self) -> Record:
        """What the model folder says of the task: the classes, their arguments, and what training has found."""
        data: TaskData[E] = self.trainer.datamodule  # type: ignore[attr-defined]
        made = self.record or Record(
            module=Made(target=import_path(type(self))), features=Made(target=import_path(type(data.features)))
        )
        return replace(made, state=self.get_extra_state())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As of every training; and what the model folder records of the task."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[RECORD_KEY] = self.recorded().as_json()

    def training_step(self, batch: TaskBatch, _: int) -> Tensor:
        """This micro-batch's part of the global loss."""
        loss, outputs = self.step(batch)
        if self.teacher is not None:
            soft = self.soft_targets(outputs, self._of_teacher(self.teacher, batch), batch, self.temperature)
            loss = (1 - self.soft_weight) * loss + self.soft_weight * soft
        parts = self.trainer.accumulate_grad_batches * self.trainer.world_size
        # Every micro-batch carries the count of its whole global batch.
        labels = torch.tensor(batch.global_labels / parts, dtype=torch.float64, device=loss.device)
        self.since_last_row.add(torch.stack([loss.detach().double(), labels]), batch.num_tokens)
        # Lightning divides by the micro-batches it accumulates and averages over the ranks; the count has done both.
        return loss / batch.global_labels * parts

    def _of_teacher(self, teacher: Teacher[TaskModel], batch: TaskBatch) -> Tensor:
        """Its outputs, in the order of our labels; frozen hidden states are those of our own encoder."""
        with torch.no_grad():
            found = self.logits(teacher.on(batch.packed.input_ids.device), batch._replace(features=None)).float()
        return found[..., self._order] if self._order else found

    def row(self, sums: list[float]) -> dict[str, float | Tensor]:
        """The mean loss, from the summed losses and labels."""
        loss, labels = sums
        return {"train/loss": loss / max(1.0, labels)}

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


def averaged(logits: Tensor, batch: TaskBatch) -> Tensor:
    """The mean of the logits (B, L) of each item's sequences, (I, L)."""
    if len(logits) == len(batch.items):
        return logits
    if batch.sequences is None:
        return logits.float().view(len(batch.items), -1, logits.shape[-1]).mean(dim=1)
    is_there = (batch.sequences >= 0).float()  # (I, n)
    weights = is_there / is_there.sum(dim=1, keepdim=True)
    mean: Tensor = (logits.float()[batch.sequences.clamp(min=0)] * weights[..., None]).sum(dim=1)
    return mean


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits, (L,)."""
    powers = np.exp(logits - logits.max())
    probabilities: np.ndarray = powers / powers.sum()
    return probabilities
