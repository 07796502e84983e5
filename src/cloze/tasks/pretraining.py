"""Pre-training on masked tokens and sentence pairs, as a LightningModule."""

from typing import ClassVar

import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.model.bert import BertForPreTraining
from cloze.tasks.training import Recipe, TrainingModule


class Pretraining(TrainingModule):
    """Masked language model and next sentence (Devlin et al. 2019, section 3.1) on one encoder.

    Both losses are sums divided by the counts of the whole global batch, which each batch carries: so ranks,
    micro-batches and padding change nothing but the order of summation.

    Args:
        model: the encoder with both heads.
        recipe: how it is trained.
    """

    architecture: ClassVar[str] = "BertForPreTraining"
    sums: ClassVar[int] = 7
    model: BertForPreTraining

    def __init__(self, *, model: BertForPreTraining, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        self._heldout: Tensor | None = None  # sums over the held-out split

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

    def row(self, sums: list[float]) -> dict[str, float | Tensor]:
        """The means of both objectives."""
        return _means(sums, "train")

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
