"""The steps at which a pre-training run changes its phase (`phases`, `data.phases`)."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from cloze.report.page.run import Run, section

LENGTHS = ("share", "steps", "tokens")
"""The keys of a phase that say how long it is."""


class Change(NamedTuple):
    """A phase that is not the first.

    Attributes:
        step: its first one.
        label: what it changes, in a word or two.
        told: the same as part of a sentence.
    """

    step: int
    label: str
    told: str


def phase_changes(run: Run) -> list[Change]:
    """Those that the run has come to; none where its configuration has one phase or does not tell its length."""
    try:
        phases = [_phase(stated) for stated in section(run.config, "data").get("phases") or []]
    except (TypeError, ValueError):
        return []
    found, length = [], section(run.config, "objective").get("max_length")
    for number, phase in enumerate(phases):
        before, length = length, phase.get("max_length", length)
        step = _end(run, phases[:number]) if number else None
        if step is not None and step < run.metrics.last_step:
            found.append(Change(step + 1, *_told(phase, before, number)))
    return found


def _phase(stated: Any) -> dict[str, Any]:
    if isinstance(stated, Mapping):
        return dict(stated)
    share, length = stated
    return {"share": float(share), "max_length": int(length)}


def _told(phase: Mapping[str, Any], before: object, number: int) -> tuple[str, str]:
    length = phase.get("max_length")
    longer = [f"sequences of up to {length:,} tokens in place of {before:,}"] if length not in (None, before) else []
    others = [
        f"{name} {value}" for name, value in phase.items() if name not in (*LENGTHS, "max_length") and value is not None
    ]
    label = f"{length:,} tokens" if longer else f"phase {number + 1}"
    return label, ", ".join([*longer, *others]) or "the next phase"


def _end(run: Run, phases: Sequence[Mapping[str, Any]]) -> int | None:
    """The last step of the last of some phases."""
    if all(phase.get("share") is not None for phase in phases):
        return _step(run, list(accumulate(phase["share"] for phase in phases))[-1])
    steps = 0.0
    for phase in phases:
        if (own := phase.get("steps")) is None:
            tokens, curve = phase.get("tokens"), run.metrics.tokens
            if tokens is None or curve is None:
                return None
            reached = float(np.interp(steps, curve.steps, curve.values, left=0.0)) + tokens
            if reached > curve.values[-1]:
                return None
            own = float(np.interp(reached, curve.values, curve.steps)) - steps
        steps += own
    return round(steps)


def _step(run: Run, share: float) -> int | None:
    """The last step of so much of training, whatever its length is given in."""
    trainer = section(run.config, "trainer")
    if isinstance(steps := trainer.get("max_steps"), int):
        return round(share * steps)
    if run.finished:
        return round(share * run.metrics.last_step)
    for key, curve in (("max_tokens", run.metrics.tokens), ("max_epochs", run.metrics.curves.get("data/epochs"))):
        total = trainer.get(key)
        if isinstance(total, int | float) and curve is not None and share * total <= curve.values[-1]:
            return round(float(np.interp(share * total, curve.values, curve.steps)))
    return None


def phases_in_words(runs: Sequence[Run]) -> list[str]:
    """A sentence for each course of phases: from which step on, and what changes."""
    found: dict[tuple[Change, ...], list[str]] = {}
    for run in runs:
        if changes := tuple(phase_changes(run)):
            found.setdefault(changes, []).append(run.name)
    return [
        ("" if len(found) == 1 else f"{'; '.join(names)}: ")
        + "; ".join(f"from step {change.step:,} on, {change.told}" for change in changes)
        for changes, names in found.items()
    ]


def lines(run: Run) -> list[Mapping[str, Any]]:
    """For the script: where to draw, and what to write there."""
    return [{"step": change.step, "label": change.label} for change in phase_changes(run)]
