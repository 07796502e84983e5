"""`results.json`: what a run has reached, split by split."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloze.errors import InputError
from cloze.text.atomic import write_atomically

RESULTS = "results.json"
DIGITS = 6

Results = dict[str, dict[str, float]]
"""Split -> metric -> value."""


def write_results(results: Mapping[str, Mapping[str, float]], folder: Path) -> None:
    """Write `results.json` into the folder of a run, values rounded to six digits."""
    rounded = {
        split: {name: round(float(value), DIGITS) for name, value in metrics.items()}
        for split, metrics in results.items()
    }
    write_atomically(folder / RESULTS, (json.dumps(rounded, indent=2, ensure_ascii=False) + "\n").encode())


def read_results(folder: Path) -> Results:
    """What `write_results` wrote there.

    Raises:
        InputError: there is no such file, or it is no JSON.
    """
    file = folder / RESULTS
    if not file.exists():
        raise InputError(f"{file} does not exist: the run has not finished")
    try:
        results: Results = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): run the evaluation again") from error
    return results


def comparison(results: Results, baseline: Results | None, folder: Path) -> str:
    """The end of a run in a few lines: the metrics, what the same encoder reaches from random weights, where it lies.

    Args:
        results: of the run.
        baseline: of the same training from random weights, where it was done.
        folder: of the run.
    """
    rows = [[split, metric, f"{value:.4f}"] for split, metrics in results.items() for metric, value in metrics.items()]
    head = ["", "", folder.name]
    if baseline is not None:
        head.append("from random weights")
        rows = [[*row, f"{baseline[row[0]][row[1]]:.4f}"] for row in rows]
    lines = columns([head, *rows]) if rows else []
    there = [f"{path.name}/" if path.is_dir() else path.name for path in sorted(folder.iterdir())]
    return "\n".join([*lines, f"{folder}/  " + ", ".join(there)])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first two columns flush left, the numbers after them flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
