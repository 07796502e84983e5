import pytest
import torch
from torch import nn

from cloze.model.linear import Linear, _OneDNNLinear


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
