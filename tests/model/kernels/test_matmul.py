import pytest
import torch
from torch import nn

from cloze.model.kernels.matmul import (
    SMALLEST,
    WIDE,
    Linear,
    _OneDNNLinear,
    add_weight_gradient,
    suits_onednn,
    weight_gradient,
)
from cloze.model.kernels.packed import Activation, PackedLinear


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_onednn_gives_the_values_and_gradients_of_torchs_own(rows: int) -> None:
    torch.manual_seed(rows)
    reference = nn.Linear(48, 80)
    x, y = (torch.linspace(-2, 2, rows * 48).reshape(rows, 48).requires_grad_() for _ in range(2))
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in (reference.weight, reference.bias))
    direction = torch.randn(rows, 80)
    ours = _OneDNNLinear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    expected = reference(y)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    (ours * direction).sum().backward()
    (expected * direction).sum().backward()
    for a, b in ((x, y), (weight, reference.weight), (bias, reference.bias)):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


def test_large_products_agree_whatever_library_this_machine_takes() -> None:
    torch.manual_seed(0)
    layer = Linear(512, 1024)
    x = torch.randn(1024, 512)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-4, atol=1e-4)
    assert layer.state_dict().keys() == nn.Linear(2, 2).state_dict().keys()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("family", [0, 25, 26], ids=["not AMD", "Zen 4", "Zen 5"])
@pytest.mark.parametrize(("wide", "narrow"), [(300, 40), (40, 300)])
def test_gradients_of_weights_agree_on_every_processor(
    family: int, wide: int, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloze.model.kernels.matmul.amd_family", lambda: family)
    monkeypatch.setattr("cloze.model.kernels.matmul.has_avx512", lambda: True)
    monkeypatch.setattr("cloze.model.kernels.matmul.amd_family", lambda: family)
    monkeypatch.setattr("cloze.model.kernels.matmul.amd_family", lambda: family)
    torch.manual_seed(0)
    grad, x = torch.randn(3000, wide), torch.randn(3000, narrow)
    assert grad.numel() * narrow >= SMALLEST
    expected = (grad.double().T @ x.double()).float()
    torch.testing.assert_close(weight_gradient(grad, x), expected, rtol=1e-4, atol=1e-3)
    total = None
    for _ in range(2):
        total = add_weight_gradient(total, grad, x, torch.float32)
    torch.testing.assert_close(total, 2 * expected, rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("activation", [None, nn.functional.gelu, nn.functional.relu, nn.functional.silu])
def test_a_packed_layer_is_the_linear_one_and_its_activation(
    avx512: bool, activation: Activation | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloze.model.kernels.packed.has_avx512", lambda: avx512)
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 80), torch.randn(7, 48)
    expected = (activation or nn.Identity())(layer(x))
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer, activation)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("avx512", "rows", "expected"), [(True, 64, True), (False, 64, False), (False, WIDE, True)])
def test_amds_processors_without_avx512_leave_all_but_wide_products_to_mkl(
    avx512: bool, rows: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloze.model.kernels.matmul.amd_family", lambda: 25)
    monkeypatch.setattr("cloze.model.kernels.matmul.has_avx512", lambda: avx512)
    assert suits_onednn(torch.zeros(32, 8), torch.zeros(rows, 8), smallest=1) == expected
