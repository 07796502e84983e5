"""Read `metrics.csv` as curves: for each metric, its steps and values."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloze.errors import InputError
from cloze.files.bounded import read_text
from cloze.runtime.wording import counted

STEP = "step"
TOKENS, SECONDS = "data/tokens", "speed/seconds"
"""The columns that tell how many tokens training has seen, and for how long it has trained."""


class Curve(NamedTuple):
    """A metric over training.

    Attributes:
        steps: (K,) int64, optimizer steps, rising.
        values: (K,) float64, finite.
        not_finite: values that were left out because they are infinite or no number.
    """

    steps: np.ndarray
    values: np.ndarray
    not_finite: int = 0


class Metrics(NamedTuple):
    """What a run has logged.

    Attributes:
        curves: by the names of the metrics, in the order of the columns, without step, tokens and seconds.
        last_step: of the last row, 0 where there is none.
        tokens: seen at each step, where the run knows it.
        seconds: of training at each step, where the run knows it.
    """

    curves: Mapping[str, Curve]
    last_step: int = 0
    tokens: Curve | None = None
    seconds: Curve | None = None


def read_metrics(file: Path) -> Metrics:
    """All curves of the file; none where it is missing or empty.

    A run that continues while it is read may be writing its last row: a last line without its end is left out.

    Raises:
        InputError: a line that is no row of the table.
    """
    try:
        text = read_text(file)
    except FileNotFoundError:
        return Metrics({})
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}): it should be the CSV file that training writes") from error
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    if not rows:
        return Metrics({})
    head, body = rows[0], rows[1:]
    if STEP not in head or len(set(head)) < len(head):
        raise InputError(f"{file}, line 1: expected the names of the columns, each once and one of them '{STEP}'")
    by_step: dict[int, list[float | None]] = {}
    for number, row in enumerate(body, 2):
        step, values = _row(row, head, f"{file}, line {number}")
        by_step[step] = values  # the last row of a step counts
    steps = sorted(by_step)
    columns = {
        name: _curve(steps, [by_step[step][index] for step in steps]) for index, name in enumerate(head) if name != STEP
    }
    curves = {
        name: curve
        for name, curve in columns.items()
        if name not in (TOKENS, SECONDS) and len(curve.steps) + curve.not_finite
    }
    return Metrics(
        curves,
        last_step=steps[-1] if steps else 0,
        tokens=_axis(columns, TOKENS),
        seconds=_axis(columns, SECONDS),
    )


def _row(row: Sequence[str], head: Sequence[str], place: str) -> tuple[int, list[float | None]]:
    if len(row) != len(head):
        raise InputError(
            f"{place}: {counted(len(row), 'values')} where the first line names {counted(len(head), 'columns')}; "
            "fix or delete the line"
        )
    values: list[float | None] = []
    for name, cell in zip(head, row, strict=True):
        try:
            values.append(float(cell) if cell else None)
        except ValueError as error:
            raise InputError(
                f"{place}: '{name}' is {cell[:40]!r} where a number is expected; fix or delete the line"
            ) from error
    step = values[head.index(STEP)]
    if step is None or not math.isfinite(step) or step != int(step) or step < 0:
        raise InputError(f"{place}: '{STEP}' has to be a whole number; fix or delete the line")
    return int(step), values


def _curve(steps: Sequence[int], values: Sequence[float | None]) -> Curve:
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    finite = [(step, value) for step, value in known if math.isfinite(value)]
    x, y = np.array([step for step, _ in finite], np.int64), np.array([value for _, value in finite], np.float64)
    return Curve(x, y, len(known) - len(finite))


def _axis(columns: Mapping[str, Curve], name: str) -> Curve | None:
    return columns[name] if name in columns and len(columns[name].steps) else None


def thin(curve: Curve, most: int) -> Curve:
    """At most `most` of its points: the first, the last, and the lowest and highest of equal stretches between.

    So what is left out is never a spike. At least four points are kept.
    """
    count = len(curve.steps)
    if count <= most:
        return curve
    edges = np.linspace(1, count - 1, max(1, (most - 2) // 2) + 1).astype(int)
    kept = {0, count - 1}
    for begin, end in pairwise(edges):
        part = curve.values[begin:end]
        if len(part):
            kept |= {begin + int(part.argmin()), begin + int(part.argmax())}
    index = np.array(sorted(kept))
    return Curve(curve.steps[index], curve.values[index], curve.not_finite)
