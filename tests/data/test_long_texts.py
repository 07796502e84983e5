"""Windows on long texts: every token is some window's own, where it has the most context."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.long_texts import text_windows


@given(st.integers(0, 200), st.none() | st.integers(0, 200), st.integers(8, 60), st.none() | st.integers(1, 59))
def test_every_token_is_read_once(first: int, second: int | None, longest: int, stride: int | None) -> None:
    room = longest - 3
    if second is not None and min(first, second) > room // 2 and first + second > room:
        first, second = (first, room // 2) if first > second else (room // 2, second)  # as the encoder cuts them
    windows = text_windows(first, second, longest, stride)
    total = first + 2 if second is None else first + second + 3
    assert sorted(place for window in windows for place in window.places[window.own]) == list(range(total))
    for window in windows:
        assert len(window.places) <= longest
        assert (np.diff(window.places) > 0).all()
        assert window.places[0] == 0
        assert window.places[-1] == total - 1
    assert (len(windows) == 1) == (total <= longest)


def test_a_token_comes_from_the_window_where_it_has_most_context() -> None:
    windows = text_windows(20, None, 12, 5)
    sides: dict[int, list[tuple[int, int, bool]]] = {}
    for number, window in enumerate(windows):
        pieces = [place for place in window.places if 0 < place < 21]
        for place, own in zip(window.places, window.own, strict=True):
            if 0 < place < 21:
                sides.setdefault(int(place), []).append((min(place - pieces[0], pieces[-1] - place), -number, own))
    assert all(max(found)[2] for found in sides.values())


def test_the_shorter_text_of_a_pair_stands_in_every_window() -> None:
    for first, second, shorter in ((4, 40, range(1, 5)), (40, 4, range(42, 46))):
        windows = text_windows(first, second, 20, None)
        assert len(windows) > 1
        assert all(set(shorter) <= set(window.places.tolist()) for window in windows)


@pytest.mark.parametrize("stride", [3, None])
def test_neighbouring_windows_overlap(stride: int | None) -> None:
    windows = text_windows(50, None, 12, stride)
    starts = [int(window.places[1]) for window in windows]
    assert set(np.diff(starts)) == {stride or 5}
