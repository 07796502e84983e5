"""Pre-training on masked tokens and sentence pairs, as a LightningModule."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.checkpoint import training
from cloze.model.heads import BertForPreTraining
from cloze.model.sharding import shard
from cloze.optim.clipping import clip_gradients
from cloze.optim.groups import parameter_groups
from cloze.optim.schedules import Schedule
from cloze.optim.updates import copied_parameters, update_ratios
from cloze.tasks.since_last_row import SinceLastRow, log_past


class Pretraining(LightningModule):
    """Masked language model and next sentence (Devlin et al. 2019, section 3.1) on one encoder.

    Both losses are sums divided by the counts of the whole global batch, which each batch carries: so ranks,
    micro-batches and padding change nothing but the order of summation.

    Args:
        model: the encoder with both heads.
        optimizer: from parameter groups to an optimizer; its learning rate is the schedule's peak.
        schedule: the multiplier of the learning rate.
        position: where training stands, from the number of optimizer steps; in the unit of ``length``. ``None`` counts
            the steps themselves.
        length: how long training is, in steps or seconds.
        weight_decay: of matrices; biases and norms never decay.
        log_every: optimizer steps between two rows of the training metrics.
    """

    def __init__(
        self,
        *,
        model: BertForPreTraining,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        schedule: Schedule,
        length: float,
        position: Callable[[int], float] | None = None,
        weight_decay: float = 0.01,
        log_every: int = 10,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.length = length
        self.position = position or float
        self.weight_decay = weight_decay
        self.since_last_row = SinceLastRow(log_every)
        self._heldout: Tensor | None = None  # sums over the held-out split

    def configure_model(self) -> None:
        """Under FSDP2, which alone has a mesh of devices: cut the parameters."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"], bf16=self.trainer.precision == "bf16-mixed")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer over decaying and other parameters, and the schedule as a function of the step."""
        optimizer = self.make_optimizer(parameter_groups(self.model, self.weight_decay))
        scheduler = LambdaLR(optimizer, lambda step: self.schedule(self.position(step), self.length))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_step(self, batch: PretrainingBatch, _: int) -> Tensor:
        """This micro-batch's part of the global loss."""
        masked_lm, next_sentence, sums = self._step(batch)
        self.since_last_row.add(sums, batch.num_tokens)
        loss = masked_lm / max(1, batch.global_masked) + next_sentence / max(1, batch.global_pairs)
        # Lightning divides by the micro-batches it accumulates and averages over the ranks; the counts above have
        # done both already.
        return loss * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def validation_step(self, batch: PretrainingBatch, _: int) -> None:
        """Add to the sums over the held-out split."""
        *_losses, sums = self._step(batch)
        self._heldout = sums if self._heldout is None else self._heldout + sums

    def _step(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Both summed losses, and (7,) float64 that the metrics need, on the device."""
        losses = self.model.losses(batch)
        sums = torch.stack(
            [
                losses.masked_lm.loss.detach(),
                losses.masked_lm.correct.float(),
                (batch.masked_labels != IGNORED_LABEL).sum().float(),
                losses.next_sentence.loss.detach(),
                losses.next_sentence.correct.float(),
                (batch.next_sentence_labels != IGNORED_LABEL).sum().float(),
                (batch.next_sentence_labels == 1).sum().float(),
            ]
        ).double()
        return losses.masked_lm.loss, losses.next_sentence.loss, sums

    def on_train_start(self) -> None:
        """The row of the step that a resumed run goes on from."""
        if row := self._row():
            log_past(self.trainer, row)

    def on_train_batch_end(self, *_: Any) -> None:
        """After every ``log_every``-th optimizer step: the means since the last time."""
        if row := self._row():
            self.log_dict(row)

    def _row(self) -> dict[str, float | Tensor]:
        sums = self.since_last_row.take(self.trainer)
        if sums is None:
            return {}
        seen = self.since_last_row.seen_at_row(self.trainer)
        return {**_means(sums, "train"), **self.since_last_row.optimizer, **seen}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The next row of a resumed run shall be the same; and what makes a model folder of a checkpoint."""
        checkpoint["since_last_row"] = self.since_last_row.state(self.trainer)
        tokenizer = self.trainer.datamodule.tokenizer  # type: ignore[attr-defined]
        checkpoint[training.KEY] = training.description(self.model, tokenizer, architecture="BertForPreTraining")

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
        due = self.since_last_row.due(step) or self.position(step) >= self.length  # the last one has a row, too
        before = copied_parameters(optimizer) if due else None
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if before is not None:
            self.since_last_row.optimizer |= update_ratios(optimizer, before)

    def on_validation_epoch_end(self) -> None:
        """The means over the held-out split."""
        assert self._heldout is not None
        sums = self.trainer.strategy.reduce(self._heldout, reduce_op="sum").tolist()
        self._heldout = None
        self.log_dict({**_means(sums, "val"), **self.since_last_row.seen(self.trainer)})


def _means(sums: list[float], stage: str) -> dict[str, float | Tensor]:
    lm_loss, lm_correct, masked, ns_loss, ns_correct, pairs, ones = sums
    means = {
        "masked_lm_loss": lm_loss / max(1, masked),
        "masked_lm_accuracy": lm_correct / max(1, masked),
    }
    means["masked_lm_perplexity"] = min(torch.tensor(means["masked_lm_loss"]).exp().item(), 1e9)
    means["loss"] = means["masked_lm_loss"]
    if pairs:
        means["next_sentence_loss"] = ns_loss / pairs
        means["next_sentence_accuracy"] = ns_correct / pairs
        # What the commoner label, said every time, would reach: chunks of one sentence make it over a half.
        means["next_sentence_majority"] = max(ones, pairs - ones) / pairs
        means["loss"] += means["next_sentence_loss"]
    return {f"{stage}/{name}": value for name, value in means.items()}
