"""Tokens drawn from their probabilities by given numbers."""

import numpy as np
import pytest
import torch

from cloze.batch import IGNORED_LABEL
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, linear_cross_entropy, sampled_cross_entropy
from cloze.model.kernels.sampling import COLUMNS, sample


@pytest.mark.parametrize("tokens", [1, 7, COLUMNS, 3 * COLUMNS + 5])
def test_it_is_where_the_running_sum_passes_the_number(tokens: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    probabilities = torch.randn(200, tokens, generator=generator).mul(3).softmax(-1)
    uniforms = torch.rand(200, generator=generator)
    found = sample(probabilities, uniforms)
    rows = zip(probabilities.double().numpy().cumsum(-1), uniforms.tolist(), strict=True)
    expected = [int(np.searchsorted(row / row[-1], number, side="right")) for row, number in rows]
    assert (found == torch.tensor(expected)).float().mean() > 0.99  # but for the rounding of fp32
    assert (found - torch.tensor(expected)).abs().max() <= 1


def test_frequencies_are_the_probabilities_and_the_impossible_is_never_drawn() -> None:
    weights = torch.zeros(2 * COLUMNS)
    weights[[3, COLUMNS - 2, COLUMNS + 9]] = torch.tensor([0.2, 0.5, 0.3])
    uniforms = torch.arange(20_000) / 20_000
    counts = torch.bincount(sample(weights.expand(20_000, -1), uniforms), minlength=len(weights)) / 20_000
    torch.testing.assert_close(counts, weights, atol=2e-3, rtol=0)
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert sample(weights.expand(2, -1), ends).tolist() == [3, COLUMNS + 9]
    assert sample(torch.zeros(0, 9), torch.zeros(0)).tolist() == []


def test_cross_entropy_samples_from_the_softmax_of_its_logits_and_is_else_the_same() -> None:
    torch.manual_seed(0)
    rows = ROWS_AT_ONCE + 40
    hidden, weight, bias = torch.randn(rows, 16), torch.randn(300, 16), torch.randn(300)
    labels, uniforms = torch.randint(0, 300, (rows,)), torch.rand(rows)
    labels[::5] = IGNORED_LABEL
    ours, theirs = ([x.clone().requires_grad_() for x in (hidden, weight, bias)] for _ in range(2))
    found = sampled_cross_entropy(*ours, labels, uniforms)  # type: ignore[call-arg, arg-type]
    expected = linear_cross_entropy(*theirs, labels)  # type: ignore[call-arg, arg-type]
    assert torch.equal(found.sampled, sample((hidden @ weight.T + bias).softmax(-1), uniforms))
    assert not found.sampled.requires_grad
    assert torch.equal(found.loss, expected.loss)
    assert found.correct == expected.correct
    found.loss.backward()
    expected.loss.backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))  # type: ignore[arg-type]
    padded = sampled_cross_entropy(hidden, weight, bias, labels, uniforms, vocabulary_multiple=64)
    assert torch.equal(padded.sampled, found.sampled)
