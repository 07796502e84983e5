"""Rebuild the saved module from a model folder, checking every parameter."""

from typing import Any

import torch
from torch import Tensor, nn

from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import task_model
from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.model.electra import DiscriminatorHead
from cloze.model.heads import PretrainingModel
from cloze.model.task_heads import TASK_MODELS, TaskModel


class Absent(nn.Module):
    """In the place of a part that the folder does not hold: an error where it is called, never random numbers."""

    def __init__(self, part: str, pretrained: Pretrained) -> None:
        super().__init__()
        self.sentence = f"{pretrained.folder} holds no {part} ({pretrained.told()}): give a model that has one"

    def forward(self, *_: Tensor) -> Tensor:
        """Nothing.

        Raises:
            InputError: always.
        """
        raise InputError(self.sentence)


def pretraining_model(pretrained: Pretrained) -> PretrainingModel:
    """The encoder with those of its pooler and pre-training heads that are there, ready for use.

    The parts that are not there are ``Absent``: nothing is drawn.
    """
    with torch.device("meta"):  # nothing is initialised that is loaded anyway
        model: Any = architecture_of(pretrained.config).pretraining(pretrained.config)
    for part in pretrained.absent:
        setattr(model, part, Absent(part, pretrained))
    others = ("classifier.", "discriminator_head.")
    state = {name: tensor for name, tensor in pretrained.state.items() if not name.startswith(others)}
    model.load_state_dict(state, assign=True)
    return model.eval()  # type: ignore[no-any-return]  # of a class with the parts that are there


def discriminator_head(pretrained: Pretrained) -> DiscriminatorHead:
    """The head of replaced tokens of a folder that has one."""
    with torch.device("meta"):
        head = DiscriminatorHead(pretrained.config)
    prefix = "discriminator_head."
    state = {name.removeprefix(prefix): each for name, each in pretrained.state.items() if name.startswith(prefix)}
    head.load_state_dict(state, assign=True)
    return head.eval()


def fine_tuned_model(pretrained: Pretrained) -> TaskModel | None:
    """The model of the task that the folder was saved for, ready for use; None for a pre-trained one.

    Raises:
        InputError: the folder lacks a part of it.
    """
    if pretrained.head not in TASK_MODELS:
        return None
    model = task_model(
        pretrained.head,
        pretrained,
        labels=pretrained.labels or [],
        adaptation=pretrained.adaptation,
        problem_type=pretrained.problem_type,
    )
    refuse_drawn(model, pretrained)
    return model.eval()


def refuse_drawn(model: TaskModel, pretrained: Pretrained) -> None:
    """For whoever trains nothing: what is random would only look like a prediction.

    Raises:
        InputError: parameters did not come from the folder.
    """
    if model.drawn:
        raise InputError(f"{pretrained.folder}: its weights have no {', '.join(model.drawn)}; copy the folder again")
