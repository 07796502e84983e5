import pytest
import torch
from torch.nn import Parameter

from cloze.optim.updates import copied_parameters, update_ratios


def test_the_ratio_of_each_group_is_that_of_the_norms() -> None:
    block, table, bias = Parameter(torch.full((2, 2), 2.0)), Parameter(torch.ones(3, 3)), Parameter(torch.ones(4))
    groups = [
        {"params": [block], "hidden": True},
        {"params": [table], "hidden": False},
        {"params": [bias], "hidden": False},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    for parameter in (block, table, bias):
        parameter.grad = torch.full_like(parameter, 0.1)
    bias.grad = torch.zeros_like(bias)
    before = copied_parameters(optimizer)
    optimizer.step()
    ratios = {name: float(value) for name, value in update_ratios(optimizer, before).items()}
    assert ratios == {
        "optim/update_ratio/blocks": pytest.approx(0.05 / 2.0, rel=1e-5),
        "optim/update_ratio/embeddings_and_heads": pytest.approx(0.05, rel=1e-5),
        "optim/update_ratio/biases_and_norms": 0.0,
    }
