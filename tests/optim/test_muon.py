import copy

import pytest
import torch
from torch import nn
from torch.optim import Muon
from torch.optim.lr_scheduler import LambdaLR

from cloze.optim.groups import parameter_groups
from cloze.optim.muon import MatrixMuon, MuonAdamW, orthogonalise
from tests.tiny import tiny_model


def test_each_parameter_is_in_exactly_one_group_and_only_matrices_decay() -> None:
    model = tiny_model(600, intermediate_size=128)
    groups = parameter_groups(model, 0.01)
    members = [id(p) for group in groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in model.parameters())
    decaying = {id(p) for group in groups for p in group["params"] if group["weight_decay"]}
    for name, parameter in model.named_parameters():
        # Google's rule by names: everything decays but LayerNorm and bias.
        assert (id(parameter) in decaying) == ("norm" not in name and "bias" not in name), name


def test_muon_takes_the_matrices_of_the_blocks() -> None:
    model = tiny_model(600, intermediate_size=128)
    muon, adamw = MuonAdamW(parameter_groups(model, 0.01)).parts
    names = {id(p): name for name, p in model.named_parameters()}
    taken = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    blocks = {name for name, p in model.named_parameters() if ".blocks." in name and p.ndim == 2}
    assert taken == blocks
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert taken | rest == set(names.values())
    assert not taken & rest


def descend(model: nn.Module, optimizer: MuonAdamW, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2).sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
        optimizer.step()


def test_state_round_trip_continues_bit_for_bit() -> None:
    model = tiny_model(600, intermediate_size=128)
    optimizer = MuonAdamW(parameter_groups(model, 0.01), lr=1e-2)
    descend(model, optimizer, 3)
    twin = copy.deepcopy(model)
    resumed = MuonAdamW(parameter_groups(twin, 0.01), lr=1e-2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    descend(model, optimizer, 3)
    descend(twin, resumed, 3)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_scheduler_reaches_both_parts() -> None:
    optimizer = MuonAdamW(parameter_groups(tiny_model(600, intermediate_size=128), 0.01), lr=1.0)
    LambdaLR(optimizer, lambda _: 0.25)
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.25}


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (32, 32)])
def test_steps_are_those_of_torch_up_to_its_rounding_to_16_bits(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    options = {"lr": 0.1, "weight_decay": 0.05, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = MatrixMuon([ours], **options), Muon([theirs], **options)  # type: ignore[arg-type]
    for _ in range(4):
        grad = torch.randn(shape)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = grad.clone()
            optimizer.step()
    moved, expected = ours.detach() - start, theirs.detach() - start
    assert (moved - expected).norm() < 0.02 * expected.norm()
    assert not torch.equal(moved, expected)  # fp32 here


def test_an_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    update = orthogonalise(torch.randn(16, 64), (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert update.dtype == torch.float32
    # The coefficients trade exactness for steepness: singular values end between about 0.5 and 1.5.
    singular = torch.linalg.svdvals(update)
    assert singular.min() > 0.5
    assert singular.max() < 1.5
