"""The losses of embeddings: how near vectors of texts that belong together are, and how far others.

Legend for shapes: B texts, C others, of which the first B are the positives of these texts in their order; D the width.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.errors import InputError

Similarity = Literal["cosine", "dot"]


class Compared(NamedTuple):
    """The embeddings of a whole global batch.

    Attributes:
        texts: (B, D).
        others: (C, D), the positives of all texts, then the negatives of all.
        owners: (C,) int64, the text that each other was given with.
        scores: (C,) how well each other belongs to its text.
        excluded: (B, C) bool, others that are no negatives of a text: what equals its positive, and what else is known
            to belong to it.
        layers: shallower ones whose embeddings, too, stand in the rows, behind those of the last layer.
    """

    texts: Tensor
    others: Tensor
    owners: Tensor
    scores: Tensor
    excluded: Tensor
    layers: tuple[int, ...] = ()

    @property
    def negatives(self) -> Tensor:
        """(C - B,) the texts that the negatives were given with."""
        return self.owners[len(self.texts) :]

    def own(self, similarity: Similarity) -> Tensor:
        """(C,) how similar each other is to the text that it was given with."""
        texts, others = (prepared(each, similarity) for each in (self.texts, self.others))
        return (texts[self.owners] * others).sum(-1)

    def all(self, similarity: Similarity) -> Tensor:
        """(B, C) how similar each other is to each text."""
        return prepared(self.texts, similarity) @ prepared(self.others, similarity).T


def prepared(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Vectors whose dot product is the similarity, (..., D)."""
    return F.normalize(vectors, dim=-1) if similarity == "cosine" else vectors


class EmbeddingLoss(nn.Module, ABC):
    """A loss over a whole global batch.

    Attributes:
        needs: what it reads of the data besides pairs, for a message: ``negatives`` or ``scores``; None for nothing.
        layered: whether it reads the embeddings of several layers.
    """

    needs: Literal["negatives", "scores"] | None = None
    layered: ClassVar[bool] = False

    def choose_from(self, trained: range) -> None:
        """Hear which layers below the last are trained; most losses read the last alone."""

    def layers(self, step: int) -> tuple[int, ...]:
        """The shallower layers whose embeddings are read at a step, in ascending order."""
        return ()

    @abstractmethod
    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean over the batch, ()."""


class InfoNCE(EmbeddingLoss):
    """The positive of each text among the positives and negatives of all (van den Oord et al. 2018, equation 4).

    With a temperature of 0.05 the ``MultipleNegativesRankingLoss`` of sentence-transformers with its scale of 20.

    Args:
        temperature: by which similarities are divided.
        learned: whether the temperature is trained from there on (Radford et al. 2021, section 2.5).
        directions: ``passages`` finds the positive of a text; ``both`` takes the mean of that and of finding the text
            of a positive.

    Raises:
        InputError: the temperature is not above 0.
    """

    def __init__(
        self, *, temperature: float = 0.05, learned: bool = False, directions: Literal["passages", "both"] = "passages"
    ) -> None:
        super().__init__()
        _check_above_zero("temperature", temperature)
        self.directions = directions
        scale = torch.tensor([-math.log(temperature)])  # one row: what has no dimension cannot be sharded
        self.log_scale: Tensor
        if learned:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale, persistent=False)

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean cross entropy."""
        logits = compared.all(similarity) * self.log_scale.exp().clamp(max=100.0)  # as Radford et al. clip it
        logits = logits.masked_fill(compared.excluded, float("-inf"))
        right = torch.arange(len(logits), device=logits.device)
        loss = F.cross_entropy(logits, right)
        if self.directions == "passages":
            return loss
        return (loss + F.cross_entropy(logits[:, : len(logits)].T, right)) / 2


class CoSENT(EmbeddingLoss):
    """Pairs with a higher score are more similar than those with a lower one (Su 2022, kexue.fm/archives/8847).

    Args:
        temperature: by which similarities are divided.
    """

    needs = "scores"

    def __init__(self, *, temperature: float = 0.05) -> None:
        super().__init__()
        _check_above_zero("temperature", temperature)
        self.temperature = temperature

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """log(1 + the sum over pairs of pairs in the wrong order)."""
        found = compared.own(similarity) / self.temperature
        differences = found[:, None] - found[None, :]
        lower = compared.scores[:, None] < compared.scores[None, :]
        wrong = differences.masked_fill(~lower, float("-inf")).flatten()
        return torch.cat([wrong.new_zeros(1), wrong]).logsumexp(0)


class CosineRegression(EmbeddingLoss):
    """The squared error of the cosine as a prediction of the score (Reimers and Gurevych 2019, section 3).

    Args:
        highest: the score of texts that mean the same, which is the cosine 1: 5 of STS.
    """

    needs = "scores"

    def __init__(self, *, highest: float = 1.0) -> None:
        super().__init__()
        _check_above_zero("highest", highest)
        self.highest = highest

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean over pairs."""
        return F.mse_loss(compared.own("cosine"), compared.scores / self.highest)


class Triplet(EmbeddingLoss):
    """Each negative is further away than the positive by a margin (Schroff et al. 2015, equation 3, not squared).

    Args:
        margin: between the two distances.
        distance: the length of the difference of the vectors, or 1 - cosine.
    """

    needs = "negatives"

    def __init__(self, *, margin: float = 5.0, distance: Literal["euclidean", "cosine"] = "euclidean") -> None:
        super().__init__()
        _check_above_zero("margin", margin)
        self.margin, self.distance = margin, distance

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean over negatives."""
        if self.distance == "cosine":
            apart = 1.0 - compared.own("cosine")
        else:
            apart = F.pairwise_distance(compared.texts[compared.owners], compared.others)
        positives, negatives = apart[: len(compared.texts)], apart[len(compared.texts) :]
        return F.relu(positives[compared.negatives] - negatives + self.margin).mean()


class MarginMSE(EmbeddingLoss):
    """A positive is as much more similar than a negative as a teacher says (Hofstätter et al. 2020, section 4)."""

    needs = "scores"

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean squared error over negatives."""
        count, owners = len(compared.texts), compared.negatives
        found, wanted = (each[:count][owners] - each[count:] for each in (compared.own(similarity), compared.scores))
        return F.mse_loss(found, wanted)


class Divergence(EmbeddingLoss):
    """A teacher's distribution over the positive and the negatives of a text, by the Kullback-Leibler divergence.

    Args:
        temperature: by which the scores of both are divided; the loss is multiplied by its square (Hinton et al. 2015,
            section 2).
        teacher_temperature: by which those of the teacher are divided in its place: its logits have another range than
            cosines.
    """

    needs = "scores"

    def __init__(self, *, temperature: float = 1.0, teacher_temperature: float | None = None) -> None:
        super().__init__()
        _check_above_zero("temperature", temperature)
        _check_above_zero("teacher_temperature", 1.0 if teacher_temperature is None else teacher_temperature)
        self.temperature = temperature
        self.teacher_temperature = temperature if teacher_temperature is None else teacher_temperature

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The mean over texts."""
        ours = self._rows(compared.own(similarity) / self.temperature, compared)
        theirs = self._rows(compared.scores / self.teacher_temperature, compared)
        ours, wanted = ours.log_softmax(-1), theirs.softmax(-1)
        parts = wanted * (theirs.log_softmax(-1) - ours)
        return parts.masked_fill(wanted == 0, 0.0).sum() / len(ours) * self.temperature**2

    def _rows(self, values: Tensor, compared: Compared) -> Tensor:
        """(C,) as (B, n), minus infinity where a text has fewer than n others."""
        count = len(compared.texts)
        owners = compared.negatives
        order = torch.arange(len(owners), device=owners.device)
        first = torch.full((count,), len(owners), device=owners.device).scatter_reduce(0, owners, order, "amin")
        places = torch.cat([torch.zeros_like(compared.owners[:count]), 1 + order - first[owners]])
        rows = values.new_full((count, int(places.max()) + 1), -1e9)
        return rows.index_put((compared.owners, places), values)


class Matryoshka(EmbeddingLoss):
    """A loss of vectors that are truncated to each of several dimensions (Kusupati et al. 2022, equation 1).

    Args:
        loss: of the truncated vectors, which get the length 1 again.
        dimensions: the widths.
        weights: of the loss at each; None for 1.

    Raises:
        InputError: there are no dimensions, or not as many weights.
    """

    def __init__(
        self, *, loss: EmbeddingLoss, dimensions: Sequence[int], weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if loss.layered:
            raise InputError(f"task.module.loss: Matryoshka stands within {type(loss).__name__}, not around it")
        self.loss, self.dimensions = loss, list(dimensions)
        self.weights = [1.0] * len(self.dimensions) if weights is None else list(weights)
        self.needs = loss.needs
        if not self.dimensions or min(self.dimensions) < 1 or len(self.weights) != len(self.dimensions):
            raise InputError(
                f"task.module.loss.dimensions={self.dimensions}: expected widths above 0, and a weight for each"
            )

    def forward(self, compared: Compared, similarity: Similarity) -> Tensor:
        """The sum over dimensions.

        Raises:
            InputError: the vectors are narrower than a dimension.
        """
        width = compared.texts.shape[-1]
        if max(self.dimensions) > width:
            raise InputError(f"task.module.loss.dimensions={self.dimensions}: the model's vectors have {width} only")
        parts = []
        for dimension, weight in zip(self.dimensions, self.weights, strict=True):
            texts, others = (F.normalize(each[:, :dimension], dim=-1) for each in compared[:2])
            parts.append(weight * self.loss(compared._replace(texts=texts, others=others), similarity))
        return torch.stack(parts).sum()


def _check_above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"task.module.loss.{name}={value}: must be above 0")
