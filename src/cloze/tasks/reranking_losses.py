"""The losses of a re-ranker, over the passages of each query.

Legend for shapes: I queries, K passages of a query, of which the first is the positive and the others are negatives.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.errors import InputError
from cloze.tasks.soft_targets import ABSENT, divergence


class RankingLoss(ABC):
    """A loss of the scores of passages.

    Attributes:
        needs: what it reads of the data besides pairs, for a message: ``negatives`` or ``scores``; None for nothing.
    """

    needs: ClassVar[Literal["negatives", "scores"] | None] = None

    def __call__(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The sum over queries, ().

        Args:
            scores: (I, K) logits of the model.
            targets: (I, K) scores of a teacher, or 1 and 0; NaN where there is no passage.
        """
        is_there = ~targets.isnan()
        losses = self.of_queries(scores.float(), targets.nan_to_num(), is_there)
        return (losses * is_there.any(dim=-1)).sum()

    @abstractmethod
    def of_queries(self, scores: Tensor, targets: Tensor, is_there: Tensor) -> Tensor:
        """The loss of each query, (I,).

        Args:
            scores: (I, K), anything where there is no passage.
            targets: (I, K), 0 where there is none.
            is_there: (I, K) bool.
        """


class BinaryCrossEntropy(RankingLoss):
    """Each pair by itself: relevant or not (Nogueira and Cho 2019, equation 1), the mean over the passages of a query.

    Args:
        positive_weight: factor of the loss of the positive, as torch's ``pos_weight``.

    Raises:
        InputError: the weight is not above 0.
    """

    def __init__(self, *, positive_weight: float = 1.0) -> None:
        _check_above_zero("positive_weight", positive_weight)
        self.positive_weight = positive_weight

    def of_queries(self, scores: Tensor, targets: Tensor, is_there: Tensor) -> Tensor:
        """The mean over passages."""
        relevant = torch.zeros_like(targets)
        relevant[:, 0] = 1.0
        losses = F.binary_cross_entropy_with_logits(
            scores.masked_fill(~is_there, 0.0),
            relevant,
            reduction="none",
            pos_weight=scores.new_tensor(self.positive_weight),
        )
        return _mean(losses, is_there)


class ListwiseSoftmax(RankingLoss):
    """The positive among the passages of its query: the cross entropy of a softmax over them (Gao et al. 2021,
    "Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline", equation 2).
    """

    needs = "negatives"

    def of_queries(self, scores: Tensor, targets: Tensor, is_there: Tensor) -> Tensor:
        """Minus the log-probability of the positive."""
        return -scores.masked_fill(~is_there, ABSENT).log_softmax(dim=-1)[:, 0]


class MarginMSE(RankingLoss):
    """A positive stands above a negative by as much as a teacher says (Hofstätter et al. 2020, section 4)."""

    needs = "scores"

    def of_queries(self, scores: Tensor, targets: Tensor, is_there: Tensor) -> Tensor:
        """The mean squared error over negatives."""
        scores = scores.masked_fill(~is_there, 0.0)
        found, wanted = (each[:, :1] - each[:, 1:] for each in (scores, targets))
        return _mean((found - wanted).square(), is_there[:, 1:])


class Divergence(RankingLoss):
    """A teacher's distribution over the passages of a query, by the Kullback-Leibler divergence.

    Args:
        temperature: by which the scores of both are divided; the loss is multiplied by its square (Hinton et al. 2015,
            section 2).

    Raises:
        InputError: the temperature is not above 0.
    """

    needs = "scores"

    def __init__(self, *, temperature: float = 1.0) -> None:
        _check_above_zero("temperature", temperature)
        self.temperature = temperature

    def of_queries(self, scores: Tensor, targets: Tensor, is_there: Tensor) -> Tensor:
        """KL(teacher || model)."""
        return divergence(scores, targets.masked_fill(~is_there, ABSENT), self.temperature)


def _mean(losses: Tensor, is_there: Tensor) -> Tensor:
    """Over the passages that are there, (I,)."""
    return (losses * is_there).sum(dim=-1) / is_there.sum(dim=-1).clamp(min=1)


def _check_above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"task.module.loss.{name}={value}: must be above 0")
