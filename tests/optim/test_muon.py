import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Muon
from torch.optim.lr_scheduler import LambdaLR

from cloze.optim.groups import parameter_groups
from cloze.optim.muon import POLAR_EXPRESS, MatrixMuon, MuonAdamW, orthogonalise
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
    update = orthogonalise(torch.randn(16, 64), [(3.4445, -4.775, 2.0315)] * 5, 1e-7)
    assert update.dtype == torch.float32
    # The coefficients trade exactness for steepness: singular values end between about 0.5 and 1.5.
    singular = torch.linalg.svdvals(update)
    assert singular.min() > 0.5
    assert singular.max() < 1.5


VARIANTS: dict[str, Any] = {
    "plain": {},
    "momentum that rises": {"initial_momentum": 0.85, "momentum_warmup_steps": 4},
    "polar express": {"orthogonalisation": "polar_express", "iterations": 9},
    "neurons": {"neuron_beta": 0.9},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_are_those_of_the_plain_statement(name: str) -> None:
    """In float64 and by singular values: a polynomial of a matrix's odd powers is one of its singular values."""
    said = {"momentum": 0.95, "iterations": 5, "orthogonalisation": "newton_schulz", **VARIANTS[name]}
    torch.manual_seed(0)
    matrices = nn.Parameter(torch.randn(24, 16))  # two, of 12 rows each
    group = {"params": [matrices], "hidden": True, "parts": 2, "weight_decay": 0.1}
    optimizer = MuonAdamW([group], lr=0.05, **VARIANTS[name])
    expected, buffer, squares = matrices.detach().double(), torch.zeros(24, 16).double(), torch.zeros(24, 1).double()
    for step in range(6):
        matrices.grad = torch.randn(24, 16)
        grad = matrices.grad.double()
        optimizer.step()

        momentum = said["momentum"]
        if "initial_momentum" in said:
            momentum = 0.85 + (0.95 - 0.85) * min(step / said["momentum_warmup_steps"], 1)
        buffer = momentum * buffer + (1 - momentum) * grad
        nesterov = momentum * buffer + (1 - momentum) * grad
        updates = []
        for matrix in nesterov.chunk(2):
            left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
            for i in range(said["iterations"]):
                polar = POLAR_EXPRESS[min(i, 7)]
                a, b, c = polar if said["orthogonalisation"] == "polar_express" else (3.4445, -4.775, 2.0315)
                values = a * values + b * values**3 + c * values**5
            updates.append(left @ values.diag() @ right)
        update = torch.cat(updates)
        if "neuron_beta" in said:
            squares = 0.9 * squares + 0.1 * update.square().mean(1, keepdim=True)
            balanced = (update / squares.sqrt()).chunk(2)
            update = torch.cat([new * old.norm() / new.norm() for new, old in zip(balanced, updates, strict=True)])
        expected = expected * (1 - 0.05 * 0.1) - 0.05 * 0.2 * 16**0.5 * update
        torch.testing.assert_close(matrices.detach().double(), expected, rtol=1e-4, atol=1e-5)


def test_polar_express_ends_at_one_from_singular_values_of_a_thousandth_on() -> None:
    values = torch.logspace(-3, 0, 200, dtype=torch.float64)
    for first, third, fifth in POLAR_EXPRESS:
        values = first * values + third * values**3 + fifth * values**5
    assert (values - 1).abs().max() < 1e-3


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_resume_to_the_bit(name: str) -> None:
    model = tiny_model(600, intermediate_size=128)
    optimizer = MuonAdamW(parameter_groups(model, 0.01), lr=1e-2, **VARIANTS[name])
    descend(model, optimizer, 3)
    twin = copy.deepcopy(model)
    resumed = MuonAdamW(parameter_groups(twin, 0.01), lr=1e-2, **VARIANTS[name])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    descend(model, optimizer, 2)
    descend(twin, resumed, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize(
    "wrong", [{"initial_momentum": 1.0}, {"neuron_beta": -0.1}, {"iterations": 0}, {"momentum_warmup_steps": 0}]
)
def test_a_value_outside_its_range_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MuonAdamW(parameter_groups(tiny_model(600, intermediate_size=128), 0.01), **wrong)
