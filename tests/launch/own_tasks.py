"""Modules and features of a user's own, each on a stock one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloze.data.finetuning.classification import TextFeatures
from cloze.model.task_heads import TaskModel
from cloze.tasks.classification import Classification
from cloze.tasks.training import Recipe


class Reversed(Classification):
    """Learns the other class."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of two classes the other one; a row without a label stays without."""
        return super().loss(logits, torch.where(labels < 0, labels, 1 - labels))


class OwnFeatures(TextFeatures):
    """Texts as the user wants them."""


class WithParameters(Classification):
    """Has a parameter next to the model."""

    def __init__(
        self, *, metrics: Sequence[str] | None = None, model: TaskModel, labels: Sequence[str], recipe: Recipe
    ) -> None:
        super().__init__(metrics=metrics, model=model, labels=labels, recipe=recipe)
        self.transitions = torch.nn.Parameter(torch.zeros(2, 2))
