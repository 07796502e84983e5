"""The random generator: published vectors, no bias, streams that do not meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.splitmix import below, draw, key_of, permutation, stream, uniform

SPLITMIX64 = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
"""The first draws of Vigna's reference implementation from the state 1234567."""


def test_draws_are_splitmix64() -> None:
    state = stream(np.uint64(1234567))
    assert [draw(state) for _ in SPLITMIX64] == SPLITMIX64


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 1000, 2**31 + 1, 2**32 - 1])
def test_bounded_integers_are_uniform(bound: int) -> None:
    state = stream(key_of(7, bound))
    drawn = np.array([below(state, bound) for _ in range(20_000)])
    assert drawn.min() >= 0
    assert drawn.max() < bound
    cells = min(bound, 10)
    counts = np.bincount(drawn * cells // bound, minlength=cells)
    assert np.abs(counts - len(drawn) / cells).max() < 5 * np.sqrt(len(drawn) / cells)


def test_floats_are_uniform() -> None:
    state = stream(key_of(3))
    drawn = np.array([uniform(state) for _ in range(20_000)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.abs(np.bincount((drawn * 10).astype(int)) - 2000).max() < 5 * np.sqrt(2000)


@given(length=st.integers(0, 300), seed=st.integers())
def test_permutations_hold_each_integer_once(length: int, seed: int) -> None:
    assert sorted(permutation(length, stream(key_of(seed)))) == list(range(length))


def test_every_name_gives_another_stream() -> None:
    keys = {int(key_of(seed, epoch, shard)) for seed in range(20) for epoch in range(20) for shard in range(20)}
    assert len(keys) == 20**3
    assert key_of(1, 2) != key_of(2, 1)
    assert key_of(-1) == key_of(2**64 - 1)


def test_neighbouring_streams_are_unrelated() -> None:
    first = np.array([draw(stream(key_of(1, 0, i))) for i in range(2000)], dtype=np.uint64)
    flipped = np.unpackbits((first[1:] ^ first[:-1]).view(np.uint8)).mean()
    assert abs(flipped - 0.5) < 0.005
