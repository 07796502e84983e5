"""The steps at which a pre-training run changes its phase (`data.phases`)."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from cloze.report.page.run import Run, section


class Change(NamedTuple):
    """The first step of a phase that is not the first, and the longest sequences of it and of the one before."""

    step: int
    length: int
    before: int


def phase_changes(run: Run) -> list[Change]:
    """Those that the run has come to; none where its configuration has one phase or does not tell its length."""
    phases = section(run.config, "data").get("phases")
    try:
        pairs = [(float(share), int(length)) for share, length in phases or []]
    except (TypeError, ValueError):
        return []
    ends = list(accumulate(share for share, _ in pairs))[:-1]
    steps = [_step(run, end) for end in ends]
    return [
        Change(step + 1, after[1], before[1])
        for step, (before, after) in zip(steps, pairwise(pairs), strict=True)
        if step is not None and step < run.metrics.last_step
    ]


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
    """A sentence for each course of phases: which step, and how long the sequences are from there on."""
    found: dict[tuple[Change, ...], list[str]] = {}
    for run in runs:
        if changes := tuple(phase_changes(run)):
            found.setdefault(changes, []).append(run.name)
    return [
        ("" if len(found) == 1 else f"{'; '.join(names)}: ")
        + "; ".join(
            f"from step {change.step:,} on, sequences of up to {change.length:,} tokens in place of {change.before:,}"
            for change in changes
        )
        for changes, names in found.items()
    ]


def lines(run: Run) -> list[Mapping[str, Any]]:
    """For the script: where to draw, and what to write there."""
    return [{"step": change.step, "label": f"{change.length:,} tokens"} for change in phase_changes(run)]
