"""`results.json`: the scores of a run, for each split."""

import json
from collections.abc import Mapping
from pathlib import Path

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.layout import RESULTS

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
        results: Results = read_json(file)
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): run the evaluation again") from error
    return results
