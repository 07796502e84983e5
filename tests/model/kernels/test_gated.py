"""The one pass of gated activations against torch's operations in fp64."""

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cloze.model.kernels import elementary
from cloze.model.kernels.gated import gated


@pytest.mark.parametrize("activation", [F.gelu, F.silu, F.relu])
@pytest.mark.parametrize("shape", [(7, 10), (2, 3, 24), (0, 4)])
def test_values_and_gradients_are_torchs(activation, shape: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(0)
    x = (6 * torch.randn(shape, generator=generator)).requires_grad_()
    exact = x.detach().double().requires_grad_()
    gate, value = exact.chunk(2, -1)
    expected, found = activation(gate) * value, gated(x, activation)
    torch.testing.assert_close(found.double(), expected, atol=5e-6, rtol=1e-6)
    grad = torch.randn(found.shape, generator=generator)
    found.backward(grad)
    expected.backward(grad.double())
    assert x.grad is not None
    torch.testing.assert_close(x.grad.double(), exact.grad, atol=5e-6, rtol=1e-6)


def test_in_bf16_it_is_torchs_to_the_bit() -> None:
    x = torch.randn(5, 8, dtype=torch.bfloat16)
    gate, value = x.chunk(2, -1)
    assert torch.equal(gated(x, F.gelu), F.gelu(gate) * value)


@numba.njit
def _each(function, x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = function(x[i])


@pytest.mark.parametrize(("ours", "exact"), [(elementary.exp, torch.exp), (elementary.erf, torch.erf)])
def test_elementary_functions_are_exact_to_the_last_bit_but_one(ours, exact) -> None:  # type: ignore[no-untyped-def]
    x = np.linspace(-86, 86, 1_000_001).astype(np.float32)
    out = np.empty_like(x)
    _each(ours, x, out)
    expected = exact(torch.from_numpy(x).double()).numpy()
    assert np.all(np.abs(out - expected) <= 1.2e-7 * np.abs(expected))
