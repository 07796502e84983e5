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
