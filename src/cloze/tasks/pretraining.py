"""Pre-training on masked tokens and sentence pairs, as a LightningModule."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.model.architecture import Head
from cloze.model.bert import BertForPreTraining
from cloze.model.kernels.cross_entropy import CrossEntropy, linear_cross_entropy
from cloze.tasks.training import Recipe, TrainingModule


class PretrainingLosses(NamedTuple):
    """Sums, not means, with the number of right answers: to be divided by the counts of the global batch."""

    masked_lm: CrossEntropy
    next_sentence: CrossEntropy


Losses = Callable[[BertForPreTraining, PretrainingBatch], PretrainingLosses]


def pretraining_losses(model: BertForPreTraining, batch: PretrainingBatch) -> PretrainingLosses:
    """Both losses of a batch, without ever holding the (M, V) logits."""
    return _losses(model, batch.packed, batch.masked_positions, batch.masked_labels, batch.next_sentence_labels)


def _losses(
    model: BertForPreTraining,
    packed: Packed,
    masked_positions: Tensor,
    masked_labels: Tensor,
    next_sentence_labels: Tensor,
) -> PretrainingLosses:
    masked, logits = model.heads(packed, masked_positions)
    masked_lm = linear_cross_entropy(masked, model.decoder_weight, model.masked_lm_head.decoder_bias, masked_labels)
    logits = logits.float()
    loss = F.cross_entropy(logits, next_sentence_labels, reduction="sum", ignore_index=IGNORED_LABEL)
    return PretrainingLosses(masked_lm, CrossEntropy(loss, (logits.argmax(-1) == next_sentence_labels).sum()))


def compiled_losses(*, cuda_graphs: bool = False, backend: str = "inductor") -> Losses:
    """``pretraining_losses`` compiled, forward and backward, as one graph for each shape of batches.

    A part that would break the graph is an error. Needs batches of constant shapes and a kernel of attention other than
    ``reference``.

    Args:
        cuda_graphs: record the kernels once and start them together from then on.
        backend: torch's compiler.
    """
    mode = "reduce-overhead" if cuda_graphs else None
    compiled = torch.compile(_losses, fullgraph=True, dynamic=False, mode=mode, backend=backend)

    def of(model: BertForPreTraining, batch: PretrainingBatch) -> PretrainingLosses:
        # The counts of the batch, which are others every time, stay out of what is compiled for constants.
        found: PretrainingLosses = compiled(
            model, batch.packed, batch.masked_positions, batch.masked_labels, batch.next_sentence_labels
        )
        return found

    return of


class Pretraining(TrainingModule):
    """Masked language model and next sentence (Devlin et al. 2019, section 3.1) on one encoder.

    Both losses are sums divided by the counts of the whole global batch, which each batch carries: so ranks,
    micro-batches and padding change nothing but the order of summation.

    Args:
        model: the encoder with both heads.
        recipe: how it is trained.
        losses: computes both losses, compiled or not.
    """

    head: ClassVar[Head] = "pretraining"
    sums: ClassVar[int] = 7
    model: BertForPreTraining

    def __init__(self, *, model: BertForPreTraining, recipe: Recipe, losses: Losses = pretraining_losses) -> None:
        super().__init__(model, recipe)
        self.losses = losses
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
        losses = self.losses(self.model, batch)
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
        # The accuracy of the majority class: chunks of one sentence make it over a half.
        means["next_sentence_majority"] = max(ones, pairs - ones) / pairs
        means["loss"] += means["next_sentence_loss"]
    return {f"{stage}/{name}": value for name, value in means.items()}
