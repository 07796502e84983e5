"""The LSTM over packed tokens against torch's on each sequence alone."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.model.recurrent import BiLSTM


def bounds(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)


SOME = st.lists(st.integers(0, 9), max_size=4)
LENGTHS = st.tuples(SOME, st.integers(1, 9), SOME).map(lambda parts: [*parts[0], parts[1], *parts[2]])


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(0, 3))
def test_each_sequence_gets_what_torch_gives_it_alone(lengths: list[int], behind: int) -> None:
    torch.manual_seed(0)
    module = BiLSTM(6, 5, 2)
    hidden = torch.randn(sum(lengths) + behind, 6)
    out = module(hidden, bounds(lengths))
    assert out.shape == (sum(lengths) + behind, module.width)
    for start, length in zip(bounds(lengths).tolist(), lengths, strict=False):
        if length:
            alone = module.lstm(hidden[start : start + length])[0]
            torch.testing.assert_close(out[start : start + length], alone)
    assert not out[sum(lengths) :].any()


def test_gradients_reach_the_vectors_as_they_do_alone() -> None:
    torch.manual_seed(0)
    module, lengths = BiLSTM(6, 5, 2), [4, 7, 1, 7]
    hidden = torch.randn(sum(lengths), 6, requires_grad=True)
    direction = torch.randn(sum(lengths), 10)
    (gradient,) = torch.autograd.grad((module(hidden, bounds(lengths)) * direction).sum(), hidden)
    alone = torch.cat([module.lstm(part)[0] for part in hidden.split(lengths)])
    (expected,) = torch.autograd.grad((alone * direction).sum(), hidden)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("layers", [1, 3])
def test_width_is_both_directions(layers: int) -> None:
    assert BiLSTM(4, 3, layers)(torch.randn(5, 4), bounds([5])).shape == (5, 6)
