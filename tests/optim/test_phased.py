"""Learning rates that phases say, by hand."""

import pytest

from cloze.optim.phased import Phased, RateChange
from cloze.optim.schedules import Linear, WarmupStableDecay


def rates(changes: list[RateChange], steps: int, peak: float = 1.0) -> list[float]:
    phased = Phased.of(WarmupStableDecay(decay_ratio=0), changes, peak)
    return [phased(float(step), float(steps)) for step in range(steps)]


def test_a_rise_ends_with_its_last_value_and_a_decay_begins_with_its_first() -> None:
    changes = [RateChange(0, 4, 0.0, 8e-3), RateChange(4, 6, None, None), RateChange(6, 10, None, 0.0)]
    expected = [2e-3, 4e-3, 6e-3, 8e-3, 8e-3, 8e-3, 8e-3, 6e-3, 4e-3, 2e-3]
    assert rates(changes, 10, peak=4e-3) == pytest.approx([rate / 4e-3 for rate in expected])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("1-sqrt", [1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5]),
        ("cosine", [1, 0.85355, 0.5, 0.14645]),
    ],
)
def test_shapes(shape: str, expected: list[float]) -> None:
    assert rates([RateChange(0, 4, 1.0, 0.0, shape)], 4) == pytest.approx(expected, abs=1e-4)


def test_the_schedule_holds_up_to_the_first_phase_that_says_a_rate() -> None:
    changes = [RateChange(0, 5, None, None), RateChange(5, 10, None, 0.0), RateChange(10, 12, 0.25, None)]
    phased = Phased.of(Linear(), changes, 1.0)
    found = [phased(float(step), 12.0) for step in range(12)]
    assert found[:5] == [Linear()(float(step), 12.0) for step in range(5)]
    begin = Linear()(5.0, 12.0)
    assert found[5:10] == pytest.approx([begin * share for share in (1, 0.8, 0.6, 0.4, 0.2)])
    assert found[10:] == [0.25, 0.25]
