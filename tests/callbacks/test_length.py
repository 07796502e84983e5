import pytest

from cloze.callbacks.length import Length


def test_steps_are_their_own_position() -> None:
    length = Length(steps=10)
    assert (length.position(3), length.total) == (3.0, 10.0)


def test_seconds_do_not_follow_the_steps_and_survive_a_checkpoint() -> None:
    length = Length(seconds=60.0)
    length.load_state_dict({"elapsed": 12.5})
    assert (length.position(1000), length.total) == (12.5, 60.0)
    assert length.state_dict() == {"elapsed": 12.5}


def test_one_unit_only() -> None:
    with pytest.raises(ValueError, match="either in steps or in seconds"):
        Length(steps=1, seconds=1.0)


@pytest.mark.parametrize(("steps", "wanted", "every"), [(30, 50, 3), (7, 50, 1), (50, 50, 50), (2000, 50, 50)])
def test_a_short_training_has_rows_in_time(steps: int, wanted: int, every: int) -> None:
    assert Length(steps=steps).log_every(wanted) == every
    assert Length(seconds=5.0).log_every(wanted) == wanted
