"""Duplicates are all but the first occurrence, however many ranges they are searched in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.text.duplicates import duplicated_positions, find_duplicates

HASH = st.integers(0, 20) | st.integers(0, 20).map(lambda low: (low << 58) + low) | st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(batches=st.lists(st.lists(HASH, max_size=30), max_size=5), in_memory=st.integers(1, 50), cut=st.integers(0, 150))
def test_against_a_set(
    batches: list[list[int]], in_memory: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hashes = [value for batch in batches for value in batch]
    expected = [value in hashes[:index] for index, value in enumerate(hashes)]
    folder = tmp_path_factory.mktemp("duplicates") / "found"
    arrays = (np.array(batch, np.uint64) for batch in batches)
    assert find_duplicates(arrays, len(hashes), folder, in_memory) == sum(expected)
    cut = min(cut, len(hashes))
    assert duplicated_positions(folder, 0, cut).tolist() == expected[:cut]
    assert duplicated_positions(folder, cut, len(hashes)).tolist() == expected[cut:]
