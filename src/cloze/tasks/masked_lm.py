"""Pre-training on masked tokens and sentence pairs, as BERT."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.data.pretraining.objective import Objective
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.heads import PretrainingModel
from cloze.model.kernels.cross_entropy import CrossEntropy, linear_cross_entropy
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.training import Recipe
from cloze.text.manifest import Manifest


class PretrainingLosses(NamedTuple):
    """Sums, not means, with the number of right answers: to be divided by the counts of the global batch."""

    masked_lm: CrossEntropy
    next_sentence: CrossEntropy


Losses = Callable[[PretrainingModel, PretrainingBatch], PretrainingLosses]


def pretraining_losses(model: PretrainingModel, batch: PretrainingBatch) -> PretrainingLosses:
    """Both losses of a batch, without ever holding the (M, V) logits."""
    return _losses(model, batch.packed, batch.masked_positions, batch.masked_labels, batch.next_sentence_labels)


def _losses(
    model: PretrainingModel,
    packed: Packed,
    masked_positions: Tensor,
    masked_labels: Tensor,
    next_sentence_labels: Tensor,
) -> PretrainingLosses:
    masked, logits = model.heads(packed, masked_positions)
    masked_lm = linear_cross_entropy(masked, model.decoder_weight, model.decoder_bias, masked_labels)
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

    def of(model: PretrainingModel, batch: PretrainingBatch) -> PretrainingLosses:
        # The counts of the batch, which are others every time, stay out of what is compiled for constants.
        found: PretrainingLosses = compiled(
            model, batch.packed, batch.masked_positions, batch.masked_labels, batch.next_sentence_labels
        )
        return found

    return of


class MaskedLMPretraining(Pretraining[PretrainingBatch]):
    """Masked language model and next sentence (Devlin et al. 2019, section 3.1) on one encoder.

    Args:
        shape: of the encoder.
        recipe: how it is trained.
    """

    sums: ClassVar[int] = 7
    monitor: ClassVar[str] = "masked_lm_loss"
    compiles_step: ClassVar[bool] = True
    model: PretrainingModel

    def __init__(self, *, shape: EncoderConfig, recipe: Recipe) -> None:
        super().__init__(shape=shape, recipe=recipe)
        self.losses: Losses = pretraining_losses

    def step(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Both losses, each divided by its count, and their sums, counts and right answers, (7,)."""
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
        masked_lm = losses.masked_lm.loss / max(1, batch.global_masked)
        next_sentence = losses.next_sentence.loss / max(1, batch.global_pairs)
        return masked_lm + next_sentence, sums

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The means of both losses, the shares of right answers; without pairs, of the first alone."""
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
        return means

    def compile_step(self, *, cuda_graphs: bool) -> None:
        """Both losses as one graph."""
        self.losses = compiled_losses(cuda_graphs=cuda_graphs)

    def needed_parts(self, objective: Objective[PretrainingBatch]) -> Sequence[str]:
        """The head of the pairs only where there are any."""
        pairs = () if objective.pairs == "none" else architecture_of(self.model).pair_parts
        return ("encoder", "masked_lm_head", *pairs)

    def masked_labels(self, batch: PretrainingBatch) -> Tensor:
        """(M,) int64."""
        return batch.masked_labels

    def masked_lm_logits(self, packed: Packed, positions: Tensor) -> Tensor:
        """The logits (M, V) at ``positions`` (M,)."""
        return self.model(packed, positions).masked_lm  # type: ignore[no-any-return]

    def pair_logits(self, packed: Packed) -> Tensor:
        """Whether segment B does not continue A, in logits (B, 2)."""
        nowhere = torch.zeros(0, dtype=torch.int64, device=packed.input_ids.device)
        return self.model(packed, nowhere).next_sentence  # type: ignore[no-any-return]

    def told(self, metrics: Mapping[str, float]) -> str:
        """The loss of masked tokens with its perplexity."""
        loss = metrics[self.monitor]
        return f"loss {loss:.3f} (perplexity {math.exp(loss):,.1f})"

    def summary(self, metrics: Mapping[str, float], manifest: Manifest) -> list[tuple[str, str]]:
        """Next to what a model would reach that has learned nothing but frequencies."""
        entropy, frequencies = manifest.unigram_entropy, "for one that knows only how frequent each token is"
        known = "" if entropy is None else f"; {entropy:.3f} {frequencies}"
        lines = [("masked tokens", f"{self.told(metrics)} on held-out text{known}")]
        if (accuracy := metrics.get("next_sentence_accuracy")) is not None:
            commoner = f"{metrics['next_sentence_majority']:.1%} for the majority class"
            lines.append(("sentence pairs", f"{accuracy:.1%} right on held-out text; {commoner}"))
        return lines
