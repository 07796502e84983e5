"""Class weights in the loss."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cloze.errors import InputError

ClassWeights = Literal["balanced"] | Sequence[float] | None
"""``balanced``: every class has the same part in the loss; numbers: in the order of the labels; None: no weights."""


def check_class_weights(weights: ClassWeights, labels: Sequence[str]) -> None:
    """Compare weights with the labels.

    Raises:
        InputError: there is not one positive number for each.
    """
    if weights is None or weights == "balanced":
        return
    if len(weights) != len(labels) or min(float(weight) for weight in weights) <= 0:
        raise InputError(
            f"task.module.class_weights={weights}: must be balanced, or a positive number for each of "
            f"{', '.join(map(repr, labels))}"
        )


def positive_weights(weights: Literal["balanced"] | Sequence[float], counts: np.ndarray, rows: int) -> Tensor:
    """Of several labels, the factors of the losses where each applies, (L,) float32, as torch's `pos_weight`.

    Args:
        weights: as given; ``balanced``: rows with a label have the same part in its loss as those without.
        counts: (L,) rows with each label in the training split.
        rows: of it that are labelled.
    """
    balanced = (rows - counts) / np.maximum(counts, 1)
    given = np.where((counts > 0) & (counts < rows), balanced, 1.0) if weights == "balanced" else np.array(weights)
    return torch.tensor(given, dtype=torch.float32)


def scaled_class_weights(weights: Literal["balanced"] | Sequence[float], counts: np.ndarray) -> Tensor:
    """The factors of the losses, (L,) float32, with a mean of 1 over the training labels.

    So the sum of the losses of a global batch can be divided by its count of labels, whatever the batch holds.

    Args:
        weights: as given.
        counts: (L,) labels of each class in the training split, or the sums of their probabilities.
    """
    given = 1 / np.where(counts > 0, counts, 1) if weights == "balanced" else np.array(weights, np.float64)
    return torch.tensor(given * counts.sum() / (given * counts).sum(), dtype=torch.float32)
