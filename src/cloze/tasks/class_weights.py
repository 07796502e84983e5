"""Weights of classes in the loss."""

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


def scaled_class_weights(weights: Literal["balanced"] | Sequence[float], counts: np.ndarray) -> Tensor:
    """The factors of the losses, (L,) float32, with a mean of 1 over the training labels.

    So the sum of the losses of a global batch can be divided by its count of labels, whatever the batch holds.

    Args:
        weights: as given.
        counts: (L,) labels of each class in the training split.
    """
    given = 1 / np.maximum(counts, 1) if weights == "balanced" else np.array(weights, np.float64)
    return torch.tensor(given * counts.sum() / (given * counts).sum(), dtype=torch.float32)
