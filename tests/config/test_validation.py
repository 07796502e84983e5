from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.cli.roots import SCHEMAS
from cloze.config.hardware import Hardware
from cloze.config.nodes import Node, Root
from cloze.config.sections import Training
from cloze.config.targets import Unknown, inspected
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
class Car(Root):
    name: str
    engine: Node[Any]
    training: Training | None = None
    extras: dict[str, Node[Any]] | None = None


RADIO = {"_target_": f"{__name__}.Engine", "power": 1}


def refusing(value: int) -> None:
    raise ValueError(f"{value} is too much")


def swallow(power: float, **others: object) -> None:
    """A constructor as some libraries have it: it would take any key."""


def by_position(power: float, fuel: str = "diesel", *others: int, places: int = 1) -> None: ...


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
    with pytest.raises(InputError, match=r"trainer\.max_steps is 0, but must be above zero"):
        check({**car(power=1), "training": {"max_steps": 0}}, Car)


def test_a_root_may_refuse_what_does_not_go_together() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Garage(Root):
        car: Node[Any]
        places: int

        def __post_init__(self) -> None:
            raise InputError(f"no {self.car.plain['power']} in {self.places} places")

    with pytest.raises(InputError, match="no 1 in 2 places"):
        check({"car": {"_target_": f"{__name__}.Engine", "power": 1}, "places": 2.0}, Garage)


def test_a_like_name_in_another_section_is_the_nearest_even_if_no_file_states_it() -> None:
    assert "did you mean 'training.max_steps'?" in refusal({**car(power=1, maxsteps=3), "training": {"max_time": "1h"}})


def test_a_constructor_with_kwargs_takes_any_key_and_those_that_it_names_are_checked() -> None:
    engine = {"_target_": f"{__name__}.swallow", "power": 1, "turbo": [1, 2.0]}
    assert check({"name": "x", "engine": engine}, Car).engine.plain == engine
    told = refusal({"name": "x", "engine": {**engine, "power": "much"}})
    assert "engine.power is 'much', but must be a number" in told


@pytest.mark.parametrize(
    ("function", "node", "sentence"),
    [
        ("by_position", {"_args_": [3, "petrol", 1, 2], "places": 4}, ""),
        ("by_position", {"_args_": [3], "fuel": "petrol"}, ""),
        ("by_position", {"_args_": ["x"]}, r"engine._args_[0] (power) is 'x', but must be a number"),
        ("by_position", {"_args_": [3, "a", 2.5]}, r"engine._args_[2] (others) is 2.5, but must be a whole number"),
        ("by_position", {"_args_": [3, "a"], "fuel": "b"}, "engine._args_ and engine.fuel both set fuel: leave one"),
        ("by_position", {"_args_": 3}, "engine._args_ is 3, but must be a list: the arguments by position"),
        ("swallow", {"_args_": [3, 4]}, "engine._args_ has 2 arguments by position, but {}.swallow takes: power"),
        ("swallow", {"_args_": []}, "the key 'engine.power' is missing"),
        ("Engine", {"_args_": [3]}, "engine._args_ has 1 arguments by position, but {}.Engine takes: none"),
    ],
)
def test_values_by_position_are_checked_against_the_arguments_they_go_to(
    function: str, node: dict[str, Any], sentence: str
) -> None:
    engine = {"_target_": f"{__name__}.{function}", **node}
    if sentence:
        assert sentence.format(__name__) in refusal({"name": "x", "engine": engine})
    else:
        assert check({"name": "x", "engine": engine}, Car).engine.plain == engine


def test_sections_and_dictionaries_of_nodes_are_checked_too() -> None:
    assert "did you mean 'training.max_steps'?" in refusal({**car(power=1), "training": {"max_stps": 1}})
    extras = {"radio": {"_target_": f"{__name__}.Engine", "power": "loud"}}
    assert "extras.radio.power is 'loud'" in refusal({**car(power=1), "extras": extras})


def test_whole_floats_become_integers_and_partial_nodes_may_lack_arguments() -> None:
    checked = check(car(_partial_=True, cylinders=8.0, file="a/b"), Car)
    assert checked.engine.plain["cylinders"] == 8
    assert isinstance(checked.engine.plain["cylinders"], int)


def test_sections_and_nodes_are_objects_and_the_plain_configuration_stays_as_it_was_stated() -> None:
    config = {**car(power=1, file="a/b"), "training": {"max_steps": 3.0}, "extras": {"radio": {**RADIO}}}
    checked = check(config, Car)
    assert checked.training == Training(max_steps=3)
    assert checked.plain == {**config, "training": {"max_steps": 3}}
    assert checked.engine.type is Engine
    assert checked.engine.build() == Engine(power=1, file="a/b")  # type: ignore[arg-type]
    assert checked.extras is not None
    assert checked.extras["radio"].key == "extras.radio"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_root_tells_the_type_of_each_key(name: str) -> None:
    root: Callable[..., Root] = SCHEMAS[name]
    hints = {key: argument.hint for key, argument in inspected(root).arguments.items()}
    assert hints
    assert not [key for key, hint in hints.items() if hint in (Any, Unknown)]


def test_a_changed_root_states_what_differs_and_nothing_else() -> None:
    checked = check({**car(power=1), "training": {"max_steps": 3}, "extras": {"radio": {**RADIO}}}, Car)
    assert checked.training is not None
    assert checked.extras is not None
    changed = checked.with_(
        name="y",
        engine=checked.engine.with_(cylinders=6),
        training=replace(checked.training, max_steps=None, max_epochs=2),
        extras={name: node.with_(power=3) for name, node in checked.extras.items()},
    )
    assert changed.plain == {
        **car(power=1, cylinders=6),
        "name": "y",
        "training": {"max_steps": None, "max_epochs": 2},
        "extras": {"radio": {**RADIO, "power": 3}},
    }
    assert check(changed.plain, Car).training == changed.training
    assert checked.plain["name"] == "x"


def test_a_node_names_its_key_where_a_constructor_refuses() -> None:
    node = Node[Any]("callbacks.samples", {"_target_": f"{__name__}.refusing", "_partial_": True})
    with pytest.raises(InputError, match=r"callbacks\.samples: 3 is too much"):
        node.build(value=3)
    with pytest.raises(InputError, match="but must be a class"):
        _ = node.class_


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
