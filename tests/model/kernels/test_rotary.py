"""Rotary positions against transformers' and against the rule in complex numbers."""

import pytest
import torch
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from cloze.model.kernels.rotary import rotated, rotation

TOKENS, HEADS, SIZE = 37, 3, 16


def drawn(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(TOKENS, 3, HEADS, SIZE, generator=torch.Generator().manual_seed(2)).to(dtype)


@pytest.mark.parametrize("theta", [1_000.0, 160_000.0])
def test_values_and_gradients_are_those_of_transformers(theta: float) -> None:
    positions = torch.arange(TOKENS) * 211
    found, expected, weight = drawn().requires_grad_(), drawn().requires_grad_(), drawn().flip(0)
    (rotated(found, *rotation(positions, SIZE, theta)) * weight).sum().backward()

    angles = positions[:, None] * (1.0 / theta ** (torch.arange(0, SIZE, 2) / SIZE))
    angles = torch.cat([angles, angles], -1)[None]  # as their module of positions has it
    query, key, value = expected.movedim(0, 2).unsqueeze(1).unbind(0)
    query, key = apply_rotary_pos_emb(query, key, angles.cos(), angles.sin())
    turned = torch.stack([query, key, value]).squeeze(1).movedim(2, 0)
    (turned * weight).sum().backward()
    torch.testing.assert_close(rotated(found, *rotation(positions, SIZE, theta)), turned, atol=2e-5, rtol=1e-4)
    assert found.grad is not None
    torch.testing.assert_close(found.grad, expected.grad, atol=2e-5, rtol=1e-4)


def test_a_pair_of_dimensions_is_a_complex_number_that_turns() -> None:
    """And so the product of a query and a key depends on their distance alone."""
    qkv, positions = drawn(), torch.arange(TOKENS)
    found = rotated(qkv, *rotation(positions, SIZE, 100.0))
    numbers = torch.complex(qkv[:, :2, :, : SIZE // 2], qkv[:, :2, :, SIZE // 2 :])
    speeds = 100.0 ** (-2 * torch.arange(SIZE // 2) / SIZE)
    turned = numbers * torch.exp(1j * positions[:, None] * speeds)[:, None, None]
    torch.testing.assert_close(found[:, :2], torch.cat([turned.real, turned.imag], -1), atol=1e-5, rtol=1e-4)
    assert torch.equal(found[:, 2], qkv[:, 2])

    same = torch.zeros_like(qkv) + qkv[0]
    query, key, _ = rotated(same, *rotation(positions, SIZE, 100.0))[:, :, 0].unbind(1)
    scores = query @ key.T
    torch.testing.assert_close(scores[1:, 1:], scores[:-1, :-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_turned_in_fp32(dtype: torch.dtype) -> None:
    cos, sin = rotation(torch.arange(TOKENS), SIZE, 100.0)
    found = rotated(drawn(dtype), cos, sin)
    assert found.dtype == dtype
    torch.testing.assert_close(found, rotated(drawn(dtype).float(), cos, sin).to(dtype), atol=0, rtol=1e-2)


def test_padded_rows_are_turned_as_packed_tokens() -> None:
    rows, positions = torch.randn(2, 5, 3, HEADS, SIZE), torch.arange(5)
    found = rotated(rows, *(part.expand(2, 5, -1) for part in rotation(positions, SIZE, 100.0)))
    for row in (0, 1):
        torch.testing.assert_close(found[row], rotated(rows[row], *rotation(positions, SIZE, 100.0)))
    # As an export sees it, by torch's operations: rows share the angles of their positions.
    doubled = rotated(rows.double(), *rotation(positions, SIZE, 100.0)).float()
    torch.testing.assert_close(doubled, found, atol=1e-5, rtol=1e-4)


def test_angles_are_computed_once_for_the_positions_of_a_batch() -> None:
    positions = torch.arange(TOKENS)
    with torch.inference_mode():
        first = rotation(positions, SIZE, 100.0)
    assert rotation(positions, SIZE, 100.0)[0] is first[0]
    (rotated(drawn().requires_grad_(), *first)).sum().backward()  # keeps them, as those of an inference could not be
    assert rotation(positions, SIZE, 200.0)[0] is not first[0]
    positions += 1
    torch.testing.assert_close(rotation(positions, SIZE, 100.0), rotation(torch.arange(TOKENS) + 1, SIZE, 100.0))
