"""The recipes of the half-hour benchmark: each composes, and the best so far carries the next change."""

import math
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from benchmarks.budget.recipes import CHANGES, PHASES, PUBLISHED, Change, Overrides
from benchmarks.budget.search import Run, Search, rows
from cloze.config.arguments import conf_folder
from cloze.config.schema import Pretraining
from cloze.config.validation import check


def test_each_change_makes_another_configuration_of_the_one_before() -> None:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        overrides, before = dict(PUBLISHED), composed(PUBLISHED)
        check(before, Pretraining)
        for change in CHANGES:
            overrides |= change.overrides
            after = composed(overrides)
            check(after, Pretraining)
            assert after != before, change.name
            before = after


def composed(overrides: Overrides) -> dict[str, Any]:
    words = [f"{'++' if '.' in key else ''}{key}={value}" for key, value in overrides.items()]
    config = compose("train", [*words, "corpus=text", "++corpus.files=x", "++run=x", "trainer.max_steps=9"])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


class Machine:
    """Makes runs whose losses are given, each of a minute, or of its steps."""

    def __init__(self, name: str, losses: dict[str, float], record: list[Run]) -> None:
        self.name, self.losses, self.record = name, losses, record
        self.made: dict[str, tuple[Overrides, int | None]] = {}

    def train(self, name: str, overrides: Overrides, steps: int | None, *, judged: bool = True) -> Run:
        assert judged is not name.startswith("pace of")
        self.made[name] = (overrides, steps)
        seconds = 60.0 if steps is None else 0.05 * steps  # with phases twice as fast
        run: Run = {
            "side": "ours",
            "overrides": {**overrides, "steps": str(steps)},
            "machine": self.name,
            "thirds": [{}, {}, {"steps": steps or 600, "seconds": seconds, "tokens": 9}],
            "losses": [9.0, 9.0, 9.0],
            "minutes": 1,
            "versions": "",
            "date": "",
        }
        if judged:
            run["books"] = [9.0, 9.0, self.losses[name]]
            self.record.append(run)
        return run

    def peer(self, name: str, overrides: Overrides) -> Run:
        run = {**self.train(name, overrides, None), "side": "peer", "overrides": overrides}
        self.record[-1] = run
        return run


RECIPES = [
    Change("a", {"x": "1"}),
    Change("b", {"x": "2", "y": "1"}),
    Change("c", {PHASES: "1"}),
    Change("d", {"z": "1"}),
]
LOSSES = {"as published": 7.0, "a": 6.0, "b": 6.5, "c": 5.0, "d": 5.5, "peer": 6.0}


def searched(name: str, losses: dict[str, float], record: list[Run], changes: list[Change]) -> tuple[Machine, Search]:
    """A machine that has gone through the changes on top of the record."""
    machine = Machine(name, losses, record)
    search = Search(machine.train, lambda: record, name)
    for change in changes:
        search.change(change)
    return machine, search


def test_a_change_that_does_not_help_is_dropped_before_the_next() -> None:
    machine, search = searched("one", LOSSES, [], RECIPES)
    search.peer("peer", {"p": "1"}, machine.peer)
    assert [run["name"] for run in search.runs] == ["as published", "+ a", "+ b", "+ c", "+ d", "peer"]
    assert [run["kept"] for run in search.runs] == ["", "yes", "no", "yes", "no", ""]
    assert machine.made["b"] == ({**PUBLISHED, "x": "2", "y": "1"}, None)
    assert machine.made["pace of c"] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 20)
    assert machine.made["c"] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 1200)
    assert machine.made["d"] == ({**PUBLISHED, "x": "1", PHASES: "1", "z": "1"}, 1200)
    assert search.kept == machine.made["c"][0]
    assert [row["ours"] for row in rows(search.runs)] == [7.0, 6.0, 6.5, 5.0, 5.5, 6.0]
    assert rows(search.runs)[3]["ratio"] == math.exp(1.0)


def test_on_another_machine_the_best_is_run_again_and_nothing_else() -> None:
    record: list[Run] = []
    searched("one", LOSSES, record, RECIPES[:2])

    again = "all that was kept, to a"
    two, search = searched("two", {**LOSSES, again: 4.0}, record, RECIPES)  # "c" helps there no more
    assert list(two.made) == [again, "pace of c", "c", "d"]
    assert [(run["name"], run["machine"]) for run in search.runs] == [
        ("as published", "one"),
        ("+ a", "one"),
        ("+ b", "one"),
        (again, "two"),
        ("+ c", "two"),
        ("+ d", "two"),
    ]
    assert search.kept == {**PUBLISHED, "x": "1"}

    three, search = searched("three", {**LOSSES, again: 5.0}, record, RECIPES)
    assert not three.made
    search.peer("peer", {"p": "1"}, three.peer)
    assert list(three.made) == [again, "peer"]
    assert [row["peer"] for row in rows(search.runs)] == ["", "", "", "", "", "", 6.0, 6.0]


def test_on_another_machine_the_best_with_phases_has_as_many_steps_as_fit_there() -> None:
    record: list[Run] = []
    searched("one", LOSSES, record, RECIPES[:3])

    again = "all that was kept, to c"
    two, _ = searched("two", {**LOSSES, again: 5.0}, record, RECIPES)
    assert list(two.made) == [f"pace of {again}", again, "pace of d", "d"]
    assert two.made[f"pace of {again}"] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 40)  # a thirtieth of the 1,200
    assert two.made[again] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 1200)
