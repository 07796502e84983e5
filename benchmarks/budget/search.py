"""Which changes are kept, and the table of all runs."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from benchmarks.budget.recipes import PHASES, PUBLISHED, Change, Overrides
from benchmarks.budget.snapshots import THIRDS

Run = dict[str, Any]


class Train(Protocol):
    """One run on this machine, from its name, its overrides, and its steps where the clock cannot end it."""

    def __call__(self, name: str, overrides: Overrides, steps: int | None, *, judged: bool = True) -> Run: ...


def of_recipe(runs: Sequence[Run], recipe: Overrides) -> dict[str, Run]:
    """The judged runs of a recipe, by their machine."""
    wanted = dict(recipe)
    return {
        run["machine"]: run
        for run in runs
        if "books" in run and {key: value for key, value in run["overrides"].items() if key != "steps"} == wanted
    }


def fitting(train: Train, name: str, overrides: Overrides, best: Run) -> int:
    """How many steps take the budget's time, from a thirtieth of the best run's steps."""
    few = max(3, best["thirds"][-1]["steps"] // 30)
    seconds = train(f"pace of {name}", overrides, few, judged=False)["thirds"][-1]["seconds"]
    return max(1, int(few * 60 * best["minutes"] / seconds))


class Search:
    """The published recipe and each change on what was best before it; then the other side next to the best.

    Half an hour is not the same on another machine. So what is compared ran on one: where the record holds no such two
    runs, both are made on this machine.

    Args:
        train: makes a run.
        record: all runs that were ever made under these conditions.
        machine: this one.
    """

    def __init__(self, train: Train, record: Callable[[], Sequence[Run]], machine: str) -> None:
        self.train, self.record, self.machine = train, record, machine
        self.kept, self.name = PUBLISHED, "as published"
        self.runs: list[Run] = []

    def change(self, change: Change) -> None:
        """Try a change; keep it if it helps."""
        tried = {**self.kept, **change.overrides}
        before, after = self._beside_best(tried, lambda: self._made(change.name, tried))
        helps = after["books"][-1] < before["books"][-1]
        self._show({**after, "kept": "yes" if helps else "no"}, f"+ {change.name}")
        if helps:
            self.kept, self.name = tried, f"all that was kept, to {change.name}"

    def peer(self, name: str, overrides: Overrides, train: Callable[[str, Overrides], Run]) -> None:
        """One of the other side."""
        _, run = self._beside_best(overrides, lambda: train(name, overrides))
        self._show(run, name)

    def _beside_best(self, recipe: Overrides, make: Callable[[], Run]) -> tuple[Run, Run]:
        """The best recipe's run and that of another, on one machine."""
        best, others = of_recipe(self.record(), self.kept), of_recipe(self.record(), recipe)
        on = next((machine for machine in [self.machine, *sorted(best)] if machine in best and machine in others), None)
        before = best[on] if on else best.get(self.machine) or self._made(self.name, self.kept)
        self._show(before, self.name)
        return before, others[on] if on else make()

    def _made(self, name: str, recipe: Overrides) -> Run:
        """A run of this machine; that with phases has as many steps as fit."""
        if PHASES not in recipe:
            return self.train(name, recipe, None)
        best = of_recipe(self.record(), self.kept)
        there = best.get(self.machine) or next(iter(best.values()))
        return self.train(name, recipe, fitting(self.train, name, recipe, there))

    def _show(self, run: Run, name: str) -> None:
        if all(run["overrides"] != other["overrides"] or run["machine"] != other["machine"] for other in self.runs):
            self.runs.append({"kept": "", **run, "name": name})


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One line for each run, next to the other side's best on the same machine, if there is one."""
    found = []
    for run in runs:
        end, minutes = run["books"][-1], [run["minutes"] * third / len(THIRDS) for third in THIRDS]
        others = [other for other in runs if other["side"] == "peer" and other["machine"] == run["machine"]]
        other = min(others, key=lambda run: float(run["books"][-1]), default=None)
        found.append(
            {
                "what": run["name"],
                "ours": end,
                "peer": other["books"][-1] if other else "",
                "ratio": math.exp(other["books"][-1] - end) if other else "",
                "unit": "nats a masked token (ratio: of perplexities)",
                "peer_name": other["name"] if other else "",
                **{f"at {at:.3g} minutes": value for at, value in zip(minutes, run["books"], strict=True)},
                **{f"WikiText-2, {at:.3g}": value for at, value in zip(minutes, run["losses"], strict=True)},
                "tokens": run["thirds"][-1]["tokens"],
                "steps": run["thirds"][-1]["steps"],
                "minutes taken": run["thirds"][-1]["seconds"] / 60,
                "kept": run["kept"],
                **{part: run[part] for part in ("machine", "versions", "date")},
            }
        )
    return found
