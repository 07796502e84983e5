"""A loss over layers: embeddings of shallower layers, so that a model may be cut to its first layers.

Legend for shapes: see `cloze.tasks.embedding_losses`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.data.splitmix import key_of, permutation, stream
from cloze.errors import InputError
from cloze.tasks.embedding_losses import Compared, EmbeddingLoss, Similarity

STREAM = 0x1A7E  # of this use of the steps
Weighting = Literal["uniform", "log", "linear"]
WEIGHTINGS: Mapping[Weighting, Callable[[int], float]] = {
    "uniform": lambda _: 1.0,
    "log": lambda layer: 1 / (1 + math.log(1 + layer)),
    "linear": lambda layer: 1 / (1 + layer),
}


class AdaptiveLayers(EmbeddingLoss):
    """A loss of the embeddings of the last layer and of shallower ones (Li et al. 2024, "2D Matryoshka", section 3).

    The function of the ``AdaptiveLayerLoss`` of sentence-transformers 6, and with `Matryoshka` within it of their
    ``Matryoshka2dLoss``; but an encoder with a norm after its last layer normalises shallower ones with it, too, so
    that a layer gives here what it gives as the last one of a cut model.

    Args:
        loss: of the embeddings of one layer.
        layers: numbers of shallower ones, from 1; None for all that are trained.
        layers_per_step: how many of them are drawn for each step, by its number alone; None for all.
        weighting: of the loss of layer n: 1, 1 / (1 + ln(1 + n)) or 1 / (1 + n), divided by how many are drawn.
        layers_weight: a factor for all of these.
        last_weight: of the loss of the last layer.
        divergence: the weight of the Kullback-Leibler divergence of each shallower layer from the last, of the softmax
            over the dimensions; 0 for none.
        divergence_temperature: of that softmax, by which the divergence is multiplied.

    Raises:
        InputError: a value is outside of its range.
    """

    layered: ClassVar[bool] = True

    def __init__(
        self,
        *,
        loss: EmbeddingLoss,
        layers: Sequence[int] | None = None,
        layers_per_step: int | None = 1,
        weighting: Weighting = "uniform",
        layers_weight: float = 1.0,
        last_weight: float = 1.0,
        divergence: float = 1.0,
        divergence_temperature: float = 0.3,
    ) -> None:
        super().__init__()
        if loss.layered:
            raise InputError(f"task.module.loss.loss: {type(loss).__name__} stands within itself: leave one out")
        if layers_per_step is not None and layers_per_step < 1:
            raise InputError(f"task.module.loss.layers_per_step={layers_per_step}: must be at least 1, or null for all")
        for name, value in (("layers_weight", layers_weight), ("last_weight", last_weight), ("divergence", divergence)):
            if not 0 <= value < math.inf:
                raise InputError(f"task.module.loss.{name}={value}: must be at least 0")
        if not divergence_temperature > 0:
            raise InputError(f"task.module.loss.divergence_temperature={divergence_temperature}: must be above 0")
        self.loss, self.needs = loss, loss.needs
        self.given, self.per_step = layers, layers_per_step
        self.weighting, self.layers_weight, self.last_weight = weighting, layers_weight, last_weight
        self.divergence, self.divergence_temperature = divergence, divergence_temperature
        self.known: list[int] = []

    def choose_from(self, trained: range) -> None:
        """Take the layers of a model.

        Raises:
            InputError: one that was given is none of them, or there is none.
        """
        super().choose_from(trained)
        self.known = sorted({*(trained if self.given is None else self.given)})
        if not self.known or not {*self.known} <= {*trained}:
            which = f"{trained[0]} to {trained[-1]}" if trained else "none"
            raise InputError(
                f"task.module.loss.layers={self.given}: expected layers below the last that are trained, which are "
                f"{which} of this model (adaptation.frozen_layers)"
            )

    def layers(self, step: int) -> tuple[int, ...]:
        """Those of a step, in ascending order: the same on all ranks, and in a run that was resumed."""
        if self.per_step is None or self.per_step >= len(self.known):
            return tuple(self.known)
        order = permutation(len(self.known), stream(key_of(STREAM, step)))
        return tuple(sorted(self.known[place] for place in order[: self.per_step]))

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The weighted sum over layers.

        Args:
            compared: of the last layer and ``compared.layers`` side by side, (B, (1 + layers) D) and (C, ...).
            similarity: as for every loss.
        """
        parts = 1 + len(compared.layers)
        texts, others = (each.unflatten(1, (parts, -1)).unbind(1) for each in compared[:2])
        losses = [
            self.loss(compared._replace(texts=mine, others=other, layers=()), similarity)
            for mine, other in zip(texts, others, strict=True)
        ]
        last, *shallower = (torch.cat(each) / self.divergence_temperature for each in zip(texts, others, strict=True))
        wanted = last.softmax(-1).detach()  # the last layer teaches
        total: Tensor = losses[0] * self.last_weight
        for layer, loss, logits in zip(compared.layers, losses[1:], shallower, strict=True):
            total = total + loss * WEIGHTINGS[self.weighting](layer) / len(shallower) * self.layers_weight
            apart = F.kl_div(logits.log_softmax(-1), wanted, reduction="batchmean")
            total = total + apart * self.divergence_temperature * self.divergence
        return total
