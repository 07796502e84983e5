import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.optim.schedules import Cosine, InverseSquareRoot, Linear, Schedule, Warmup, WarmupStableDecay

KINDS = [Linear, Cosine, WarmupStableDecay, InverseSquareRoot]


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 50), st.integers(250, 1000))  # a warm-up is over before a decay begins
def test_rises_to_one_and_never_leaves_the_unit_interval(kind: type[Warmup], warmup: int, length: int) -> None:
    schedule = kind(warmup_steps=warmup)
    assert isinstance(schedule, Linear | Cosine | WarmupStableDecay | InverseSquareRoot)
    values = [schedule(step, length) for step in range(length)]
    assert all(0 < value <= 1 for value in values)
    assert values[:warmup] == sorted(values[:warmup])
    assert max(values) == pytest.approx(1, abs=0.02)
    assert values[warmup:] == sorted(values[warmup:], reverse=True)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Linear(), [1, 0.75, 0.5, 0.25, 0]),
        (Linear(floor=0.2), [1, 0.8, 0.6, 0.4, 0.2]),
        (Cosine(), [1, 0.85355, 0.5, 0.14645, 0]),
        (WarmupStableDecay(decay_ratio=0.5), [1, 1, 1, 1 - 0.5**0.5, 0]),
        (WarmupStableDecay(decay_ratio=0), [1, 1, 1, 1, 1]),
        (InverseSquareRoot(warmup_steps=100), [1 / 101, 1, 0.5**0.5, 3**-0.5, 0.5]),
    ],
)
def test_values_by_hand(schedule: Schedule, expected: list[float]) -> None:
    assert [schedule(position, 400) for position in (0, 100, 200, 300, 400)] == pytest.approx(expected, abs=1e-4)


def test_warmup_as_a_share_is_the_same_in_any_unit() -> None:
    schedule = Linear(warmup_ratio=0.1)
    assert schedule(3000, 36000) == pytest.approx(schedule(300, 3600), rel=1e-2)


@pytest.mark.parametrize("bad", [{"warmup_steps": -1}, {"warmup_ratio": 1.0}, {"warmup_steps": 5, "warmup_ratio": 0.1}])
def test_impossible_warmup_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="warmup_"):
        Linear(**bad)  # type: ignore[arg-type]


def test_decay_ratio_is_checked() -> None:
    with pytest.raises(ValueError, match="decay_ratio=-0"):
        WarmupStableDecay(decay_ratio=-0.1)
