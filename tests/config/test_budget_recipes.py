"""The recipes of the half-hour benchmark: each composes, and the best so far carries the next change."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from benchmarks.budget.__main__ import search
from benchmarks.budget.recipes import CHANGES, PHASES, PUBLISHED, Change, Overrides
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


def test_a_change_that_does_not_help_is_dropped_before_the_next() -> None:
    losses = {"as published": 7.0, "a": 6.0, "b": 6.5, "c": 5.0, "d": 5.5}
    seen: dict[str, tuple[Overrides, int | None]] = {}

    def train(name: str, overrides: Overrides, steps: int | None, *, judged: bool = True) -> dict[str, Any]:
        assert judged is not name.startswith("pace of")
        seen[name] = (overrides, steps)
        seconds = 60.0 if steps is None else 0.05 * steps  # with phases twice as fast
        thirds = [{}, {"steps": steps or 600, "seconds": seconds}]
        return {"name": name, "books": [9.0, losses.get(name, 8.0)], "thirds": thirds}

    changes = [
        Change("a", {"x": "1"}),
        Change("b", {"x": "2", "y": "1"}),
        Change("c", {PHASES: "1"}),
        Change("d", {"z": "1"}),
    ]
    runs, best = search(train, changes)
    assert [run["name"] for run in runs] == ["as published", "+ a", "+ b", "+ c", "+ d"]
    assert seen["b"] == ({**PUBLISHED, "x": "2", "y": "1"}, None)
    assert seen["pace of c"] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 20)
    assert seen["c"] == ({**PUBLISHED, "x": "1", PHASES: "1"}, 1200)
    assert seen["d"] == ({**PUBLISHED, "x": "1", PHASES: "1", "z": "1"}, 1200)
    assert best == seen["c"][0]
