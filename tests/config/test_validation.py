from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.config.hardware import Hardware
from cloze.config.sections import Node, Training
from cloze.config.validation import check
from cloze.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Engine:
    power: float
    cylinders: int = 4
    fuel: Literal["petrol", "diesel"] = "petrol"
    valves: tuple[int, int] = (2, 2)
    notes: list[str] | None = None
    file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Car:
    name: str
    engine: Node
    training: Training | None = None
    extras: dict[str, Node] | None = None


def swallow(power: float, **others: object) -> None:
    """A constructor as some libraries have it: it would take any key."""


def car(**engine: Any) -> dict[str, Any]:
    return {"name": "x", "engine": {"_target_": f"{__name__}.Engine", **engine}}


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        check(config, Car)
    return str(caught.value)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[Engine.__module__])


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"power": 1, "cilinders": 3}, "unknown key 'engine.cilinders'; did you mean 'engine.cylinders'?"),
        ({"power": "strong"}, "engine.power is 'strong', but must be a number"),
        ({"power": True}, "engine.power is True, but must be a number"),
        ({"power": 1, "cylinders": 2.5}, "engine.cylinders is 2.5, but must be a whole number"),
        ({"power": 1, "fuel": "disel"}, "one of petrol, diesel; did you mean 'diesel'?"),
        ({"power": 1, "valves": [1]}, "engine.valves is [1], but must be a list of 2 values"),
        ({"power": 1, "notes": "a"}, "engine.notes is 'a', but must be a list, each text or null"),
        ({"power": 1, "notes": [[]]}, "engine.notes[0] is [], but must be text"),
        ({"power": "???"}, "the key 'engine.power' has no value: add engine.power=..."),
        ({}, "the key 'engine.power' is missing: add engine.power=..."),
        ({"power": 1, "name": "x"}, "unknown key 'engine.name'; did you mean 'name'?"),
    ],
)
def test_one_sentence_names_the_key_and_the_nearest(engine: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(car(**engine))


def test_targets_that_are_none() -> None:
    config = car(power=1)
    assert "engine._target_ is 'cloze.errors.Nothing', but there is no such" in refusal(
        {**config, "engine": {"_target_": "cloze.errors.Nothing"}}
    )
    assert "'engine' needs the package 'no_such_package'" in refusal(
        {**config, "engine": {"_target_": "no_such_package.Engine"}}
    )
    assert "'engine' is a section, but must be a node with a _target_" in refusal({**config, "engine": {"power": 1}})


def test_what_a_light_constructor_refuses_is_told_by_the_check() -> None:
    shape = {"_target_": "cloze.model.config.BertConfig", "_partial_": True, "hidden_size": 100}
    with pytest.raises(InputError, match="engine: hidden_size=100 cannot be shared evenly by num_attention_heads=12"):
        check({"name": "x", "engine": shape}, Car)
    with pytest.raises(InputError, match="the length of training is missing"):
        check({**car(power=1), "training": {}}, Car)


def test_a_root_may_refuse_what_does_not_go_together() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Garage:
        car: Node
        places: int

        def __post_init__(self) -> None:
            raise InputError(f"no {self.car['power']} in {self.places} places")

    with pytest.raises(InputError, match="no 1 in 2 places"):
        check({"car": {"_target_": f"{__name__}.Engine", "power": 1}, "places": 2.0}, Garage)


def test_a_like_name_in_another_section_is_the_nearest_even_if_no_file_states_it() -> None:
    assert "did you mean 'training.max_steps'?" in refusal({**car(power=1, maxsteps=3), "training": {"max_time": "1h"}})


def test_a_constructor_that_swallows_any_key_gets_none_it_does_not_name() -> None:
    assert "unknown key 'engine.powr'; did you mean 'engine.power'?" in refusal(
        {"name": "x", "engine": {"_target_": f"{__name__}.swallow", "power": 1, "powr": 1}}
    )


def test_sections_and_dictionaries_of_nodes_are_checked_too() -> None:
    assert "did you mean 'training.max_steps'?" in refusal({**car(power=1), "training": {"max_stps": 1}})
    extras = {"radio": {"_target_": f"{__name__}.Engine", "power": "loud"}}
    assert "extras.radio.power is 'loud'" in refusal({**car(power=1), "extras": extras})


def test_whole_floats_become_integers_and_partial_nodes_may_lack_arguments() -> None:
    checked = check(car(_partial_=True, cylinders=8.0, file="a/b"), Car)
    assert checked["engine"]["cylinders"] == 8
    assert isinstance(checked["engine"]["cylinders"], int)


@given(st.dictionaries(st.sampled_from(["power", "cylinders"]), st.floats(1, 1e6), min_size=2))
def test_numbers_are_taken_exactly_when_they_fit(engine: dict[str, float]) -> None:
    fits = engine["cylinders"].is_integer()
    try:
        check(car(**engine), Car)
    except InputError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({}, "the length of training is missing"),
        ({"max_steps": 1, "max_time": "8h"}, "exactly one length"),
        ({"max_steps": 0}, "trainer.max_steps is 0"),
        ({"max_time": "soon"}, "trainer.max_time is 'soon'"),
    ],
)
def test_exactly_one_length_of_training(lengths: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Training(**lengths)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5m", 90), ("8h", 28800), ("01:00:30", 3630)])
def test_wall_clock_lengths(text: str, seconds: float) -> None:
    assert Training(max_time=text).seconds() == seconds


def test_hardware_is_at_least_one_of_each() -> None:
    with pytest.raises(InputError, match=r"hardware\.devices is 0"):
        Hardware(devices=0)
