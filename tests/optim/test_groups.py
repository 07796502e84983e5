"""Layer-wise decay of the learning rate, against a statement of the rule by names."""

import re

import pytest
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from cloze.model.adaptation import Adaptation
from cloze.model.task_heads import SequenceClassifier
from cloze.optim.groups import parameter_groups
from cloze.optim.muon import MuonAdamW
from tests.tiny import tiny_config


def model(**options: object) -> SequenceClassifier:
    config = tiny_config(40, num_hidden_layers=3)
    return SequenceClassifier(config, 2, Adaptation(**options))  # type: ignore[arg-type]


def expected(name: str, decay: float) -> float:
    if name.startswith("encoder.embeddings"):
        return decay**4
    block = re.match(r"encoder\.blocks\.(\d)", name)
    return decay ** (3 - int(block[1])) if block else 1.0


def test_without_it_the_groups_are_as_ever() -> None:
    groups = parameter_groups(model(), 0.01)
    assert [set(group) for group in groups] == [{"params", "weight_decay", "hidden"}] * 3
    assert [(group["weight_decay"], group["hidden"]) for group in groups] == [(0.01, True), (0.01, False), (0.0, False)]


def test_each_step_down_from_the_head_multiplies_the_rate() -> None:
    task = model()
    groups = parameter_groups(task, 0.01, layer_decay=0.5)
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert len(scales) == sum(len(group["params"]) for group in groups) == len(list(task.parameters()))
    for name, parameter in task.named_parameters():
        assert scales[id(parameter)] == pytest.approx(expected(name, 0.5)), name
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    hidden = {id(p): group["hidden"] for group in groups for p in group["params"]}
    for group in parameter_groups(task, 0.01):
        for parameter in group["params"]:
            assert (decays[id(parameter)], hidden[id(parameter)]) == (group["weight_decay"], group["hidden"])


def test_frozen_parts_are_in_no_group_and_the_others_keep_their_scale() -> None:
    task = model(frozen_layers=2)
    groups = parameter_groups(task, 0.01, layer_decay=0.5)
    assert {group["lr_scale"] for group in groups} == {1.0, 0.5}
    frozen = {id(p) for p in (*task.encoder.embeddings.parameters(), *task.encoder.blocks[:2].parameters())}
    assert not frozen & {id(p) for group in groups for p in group["params"]}


@pytest.mark.parametrize("optimizer", [AdamW, MuonAdamW])
def test_torch_keeps_the_mark_and_a_schedule_can_use_it(optimizer: type[torch.optim.Optimizer]) -> None:
    task = model()
    made = optimizer(parameter_groups(task, 0.01, layer_decay=0.9), lr=2.0)  # type: ignore[call-arg]
    LambdaLR(made, [lambda _, scale=group["lr_scale"]: 0.5 * scale for group in made.param_groups])  # type: ignore[misc]
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    for name, parameter in task.named_parameters():
        assert rates[id(parameter)] == pytest.approx(expected(name, 0.9)), name


@pytest.mark.parametrize("layer_decay", [0.0, -1.0, 1.1])
def test_other_factors_are_refused(layer_decay: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        parameter_groups(model(), 0.01, layer_decay)
