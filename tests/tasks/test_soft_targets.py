"""A teacher of the same task: its outputs as targets, as Hinton et al. 2015 state them, value and gradient."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL, Packed, TaskBatch
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.optim.schedules import Linear
from cloze.tasks.classification import Classification, MultiLabel, Regression
from cloze.tasks.multiple_choice import MultipleChoice
from cloze.tasks.question_answering import QuestionAnswering
from cloze.tasks.teacher import Teacher
from cloze.tasks.token_classification import TokenClassification
from cloze.tasks.training import Recipe
from tests.tiny import save_tiny_task

MODULES: dict[str, Any] = {
    "classification": Classification,
    "multilabel": MultiLabel,
    "regression": Regression,
    "token_classification": TokenClassification,
    "question_answering": QuestionAnswering,
    "multiple_choice": MultipleChoice,
}
RECIPE = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=1)
TEXTS = [[2, 7, 9, 11, 3], [2, 8, 3], [2, 30, 31, 3]]
LABELS: dict[str, Tensor] = {
    "classification": torch.tensor([1, IGNORED_LABEL, 0]),
    "multilabel": torch.tensor([[1.0, 0.0, 1.0], [math.nan] * 3, [0.0, 0.0, 0.0]]),
    "regression": torch.tensor([0.5, math.nan, 2.0]),
    "token_classification": torch.tensor([-100, 1, -100, 2, -100, -100, 0, -100, -100, 1, 2, -100]),
    "question_answering": torch.tensor([[1, 2], [IGNORED_LABEL] * 2, [0, 0]]),
    "multiple_choice": torch.tensor([1, 0]),
}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return found


def kl(ours: np.ndarray, theirs: np.ndarray, temperature: float) -> float:
    said, target = log_softmax(ours / temperature), log_softmax(theirs / temperature)
    return float(temperature**2 * (np.exp(target) * (target - said)).sum())


def stated(task: str, ours: np.ndarray, theirs: np.ndarray, temperature: float) -> float:
    """The sum over the labelled items, one after the other."""
    ends = [0, 5, 8, 12]
    if task == "classification":
        return sum(kl(ours[i], theirs[i], temperature) for i in (0, 2))
    if task == "multilabel":
        pairs = [(ours[i, j], theirs[i, j]) for i in (0, 2) for j in range(3)]
        return sum(kl(np.array([one, 0]), np.array([other, 0]), temperature) for one, other in pairs) / 3
    if task == "regression":
        return float(sum((ours[i, 0] - theirs[i, 0]) ** 2 for i in (0, 2)))
    if task == "token_classification":
        return sum(kl(ours[i], theirs[i], temperature) for i in (1, 3, 6, 9, 10))
    if task == "question_answering":
        windows = [slice(ends[i], ends[i + 1]) for i in (0, 2)]
        return sum(kl(ours[one, end], theirs[one, end], temperature) for one in windows for end in (0, 1)) / 2
    return kl(ours[0, :2], theirs[0, :2], temperature) + kl(ours[1, :1], theirs[1, :1], temperature)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("task", MODULES)
def test_soft_targets_are_as_they_are_stated(task: str, temperature: float, tmp_path: Path) -> None:
    found = read_pretrained(
        save_tiny_task(task, tmp_path / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    )
    other = fine_tuned_model(found)
    model = fine_tuned_model(read_pretrained(tmp_path / "model"))
    assert model is not None
    assert other is not None
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    teacher = Teacher.of("teacher", found, other)
    labels = [*reversed(found.labels or [])]  # in another order than the teacher's
    module = MODULES[task](model=model.requires_grad_(True), labels=labels, recipe=RECIPE)
    module.learn_from(teacher, weight=0.3, temperature=temperature)
    choices = torch.tensor([[0, 1], [2, -1]]) if task == "multiple_choice" else None
    packed, count = Packed.of(TEXTS), len(LABELS[task])
    batch = TaskBatch(packed, LABELS[task], torch.arange(count), 12, count, sequences=choices)

    outputs = module.logits(model, batch)
    theirs = other(batch).detach().numpy()[..., ::-1] if labels else other(batch).detach().numpy()
    loss = module.soft_targets(outputs, module._of_teacher(teacher, batch), batch, temperature)
    assert loss.item() == pytest.approx(stated(task, outputs.detach().numpy(), theirs, temperature), rel=1e-4)
    assert all(parameter.grad_fn is None and not parameter.requires_grad for parameter in other.parameters())

    # The gradient, by differences of the formula in the numbers of one bias.
    loss.backward()
    bias, step = model.classifier.bias, 1e-2
    assert bias.grad is not None
    for i, given in enumerate(bias.grad.tolist()):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[i] += sign * step
                sides.append(stated(task, module.logits(model, batch).numpy(), theirs, temperature))
                bias[i] -= sign * step
        assert given == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=2e-2, abs=2e-3)
