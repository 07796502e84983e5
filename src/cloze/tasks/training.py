"""The base LightningModule of pre-training and fine-tuning: the optimizer, the metrics, the checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cloze.checkpoint.training import KEY, description
from cloze.model.architecture import Head, Work
from cloze.model.encoder import EncoderWithHeads
from cloze.model.flops import training_flops
from cloze.model.sharding import shard
from cloze.optim.clipping import clip_gradients
from cloze.optim.decay import BegunDecay
from cloze.optim.groups import parameter_groups
from cloze.optim.schedules import Schedule
from cloze.optim.settings import Settings, restate, settings
from cloze.optim.trial import OptimizerFactory
from cloze.optim.updates import copied_parameters, update_ratios
from cloze.tasks.since_last_row import MetricAccumulator, log_past
from cloze.tasks.teacher import TEACHER_KEY, Teacher

DECAY = "decay"
"""In the checkpoints of a branch that decays, of where that began."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained, for any objective or task.

    Attributes:
        optimizer: from parameter groups to an optimizer; its learning rate is the schedule's peak.
        schedule: the multiplier of the learning rate.
        length: of training, in steps or seconds.
        position: where training stands, from the number of optimizer steps; in the unit of ``length``, by default that
            number.
        weight_decay: of matrices; biases and norms never decay.
        layer_decay: the learning rate of each layer, as a share of that of the layer above.
        log_every: optimizer steps between two rows of the training metrics.
    """

    optimizer: OptimizerFactory
    schedule: Schedule
    length: float
    position: Callable[[int], float] = float
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    log_every: int = 10


class TrainingModule(LightningModule, ABC):
    """A model in training. A kind of training adds its steps, which add to ``since_last_row``, and ``row``.

    Attributes:
        head: that the model is saved with.
        labels: of a task, in the order of the outputs.
        problem_type: Hugging Face's word for the kind of labels, where the head has several.
        sums: how many numbers a training step adds to
        since_last_row: those since the last row.
        teacher: from which the model learns, no parameter of this module; None without one.
    """

    head: Head
    sums: ClassVar[int]
    model: EncoderWithHeads
    problem_type: str | None = None
    teacher: Teacher[Any] | None = None

    def __init__(self, model: EncoderWithHeads, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.labels: list[str] = []
        self.since_last_row = MetricAccumulator(recipe.log_every)
        self._settings: Settings = []

    @abstractmethod
    def row(self, sums: list[float]) -> dict[str, float | Tensor]:
        """What the metrics say of the training steps since the last row, from their sums over all ranks."""

    def masked_labels(self, batch: Any) -> Tensor:
        """(M,) labels of a masked-language-model head, for the formulas of cost; none where there is no such head."""
        return batch.packed.cu_seqlens.new_empty(0)  # type: ignore[no-any-return]

    def flops(self, work: Work) -> int:
        """Floating-point operations of a step, forward and backward, for the model FLOPs utilisation."""
        return training_flops(self.model.config, work)

    def configure_model(self) -> None:
        """Under FSDP2, which alone has a mesh of devices: shard the parameters."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"], bf16=self.trainer.precision == "bf16-mixed")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer over groups of parameters, and the schedule as a function of the step."""
        recipe = self.recipe
        optimizer = recipe.optimizer(parameter_groups(self.model, recipe.weight_decay, recipe.layer_decay))
        self._settings = settings(optimizer)
        rates: list[Callable[[int], float]] = [
            partial(self._rate, scale=group.get("lr_scale", 1.0)) for group in optimizer.param_groups
        ]
        scheduler = LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate(self, step: int, *, scale: float) -> float:
        return scale * self.recipe.schedule(self.recipe.position(step), self.recipe.length)

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
        before = copied_parameters(optimizer) if self.since_last_row.due(step) or last else None
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if before is not None:
            self.since_last_row.optimizer |= update_ratios(optimizer, before)

    def on_train_start(self) -> None:
        """After a checkpoint has been loaded: the configuration's settings hold, and the row of its step is written."""
        self._restate()
        if row := self._whole_row():
            log_past(self.trainer, row)

    def on_train_batch_end(self, *_: Any) -> None:
        """After every ``recipe.log_every``-th optimizer step: the means since the last time."""
        if row := self._whole_row():
            self.log_dict(row, batch_size=1)

    def _restate(self) -> None:
        """Optimizers and schedulers keep their settings in their state: a checkpoint brings those of another run."""
        optimizer, scheduler = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(scheduler, LambdaLR)
        restate(optimizer, self._settings)
        scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["lr"] = group["initial_lr"] * rate(self.trainer.global_step)

    def _whole_row(self) -> dict[str, float | Tensor]:
        sums = self.since_last_row.take(self.trainer)
        if sums is None:
            return {}
        return {**self.row(sums), **self.since_last_row.optimizer, **self.since_last_row.seen_at_row(self.trainer)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The next row of a resumed run must be the same; and what makes a model folder of a checkpoint."""
        checkpoint["since_last_row"] = self.since_last_row.state(self.trainer)
        if isinstance(self.recipe.schedule, BegunDecay):
            checkpoint[DECAY] = self.recipe.schedule.state()
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        checkpoint[KEY] = description(
            self.model,
            data.tokenizer,
            tokenizer_files=data.tokenizer_files,
            head=self.head,
            labels=self.labels,
            problem_type=self.problem_type,
        )

        if self.teacher is not None:
            checkpoint[TEACHER_KEY] = self.teacher.saved()

    def check_resumed(self, file: Path, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of a training that this one does not continue.

        Raises:
            InputError: it had another teacher.
        """
        if self.teacher is not None:
            self.teacher.check_saved(file, checkpoint.get(TEACHER_KEY))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the sums."""
        self.since_last_row.load(checkpoint["since_last_row"], self.trainer)
