"""The table of a sweep: mean and standard deviation over runs that differ only in the seed."""

import json
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import parse_yaml, read_text
from cloze.files.layout import CONFIG, RESULTS
from cloze.report.markdown import plain, table
from cloze.report.results import Results, read_results

OF_ONE_TYPE = "f1_"
"""Begins the metrics of single types of entities, which are in `summary.json` but not in the table."""

NOT_SCIENCE = {"folder", "run", "hardware", "logger", "callbacks"}
"""Sections of the configuration that may differ between the runs of a row."""


class Run(NamedTuple):
    """One job of a sweep: the name of its folder, its configuration as dotted keys, its results."""

    name: str
    config: dict[str, Any]
    results: Results


class Spread(NamedTuple):
    """Of n runs: the mean and the sample standard deviation (n - 1), none for a single run."""

    mean: float
    sd: float | None
    n: int

    def percent(self, digits: int) -> str:
        """As papers have it: `91.25 ± 0.40`."""
        mean = f"{100 * self.mean:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {100 * self.sd:.{digits}f}"


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def summarise_sweep(folder: Path) -> str:
    """Write `summary.json` and `summary.md` into the folder of a sweep, `runs/NAME` with the runs 0, 1, 2, ...

    Runs are one row when they agree in all keys but the seed. A row is named by the keys that tell the rows apart.

    Returns:
        The table, and which runs have no results, to be printed.
    """
    numbered = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    runs = [_read(path) for path in numbered if (path / RESULTS).exists()]
    groups = _grouped(runs)
    rows = [_row(key, members) for key, members in groups.items()]
    write_atomically(folder / "summary.json", (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode())
    lines = [f"Percent, mean ± sample standard deviation over n runs; {folder}", "", _table(rows)]
    if missing := [path.name for path in numbered if not (path / RESULTS).exists()]:
        lines += ["", f"without results, because they did not finish: {', '.join(missing)}"]
    text = "\n".join(lines)
    write_atomically(folder / "summary.md", f"{text}\n".encode())
    return text


def _read(folder: Path) -> Run:
    try:
        config = parse_yaml(read_text(folder / CONFIG))
    except ValueError as error:
        raise InputError(
            f"{folder / CONFIG} cannot be read ({error}): run the sweep again under another name"
        ) from error
    science = {key: value for key, value in config.items() if key not in NOT_SCIENCE}
    return Run(folder.name, _dotted(science), read_results(folder))


def _dotted(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings; keys named `seed` are left out wherever they are."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= _dotted(value, f"{prefix}{key}.")
        elif key != "seed":
            found[f"{prefix}{key}"] = value
    return found


def _grouped(runs: Sequence[Run]) -> dict[tuple[tuple[str, Any], ...], list[Run]]:
    """The runs by the values of the keys that tell them apart, in the order of the runs."""
    keys = _telling_keys([run.config for run in runs])
    groups = defaultdict(list)
    for run in runs:
        groups[tuple((key, _hashable(run.config.get(key))) for key in keys)].append(run)
    return dict(groups)


def _telling_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """As few keys as separate all configurations that differ, the earlier ones of the configuration first.

    `task=a,b` changes many keys, all of which say the same; `task.name` is enough.
    """
    keys = list(dict.fromkeys(key for config in configs for key in config))
    chosen: list[str] = []
    for key in keys:
        if _parts(configs, [*chosen, key]) > _parts(configs, chosen):
            chosen.append(key)
    for key in list(chosen):  # one that came early may have become superfluous
        rest = [other for other in chosen if other != key]
        if _parts(configs, rest) == _parts(configs, chosen):
            chosen = rest
    return chosen


def _parts(configs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    return len({tuple(_hashable(config.get(key)) for key in keys) for config in configs})


def _hashable(value: Any) -> Hashable:
    return json.dumps(value) if isinstance(value, list) else value


def _row(key: tuple[tuple[str, Any], ...], members: Sequence[Run]) -> dict[str, Any]:
    values: dict[str, dict[str, list[float]]] = {}
    for run in members:
        for split, metrics in run.results.items():
            for metric, value in metrics.items():
                values.setdefault(split, {}).setdefault(metric, []).append(value)
    results = {
        split: {metric: {**spread(found)._asdict(), "values": found} for metric, found in metrics.items()}
        for split, metrics in values.items()
    }
    return {"config": dict(key), "runs": [run.name for run in members], "results": results}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row["config"]))
    scores = list(
        dict.fromkeys(
            (split, metric)
            for row in rows
            for split, metrics in row["results"].items()
            for metric in metrics
            if not metric.startswith(OF_ONE_TYPE)
        )
    )
    head = [*keys, *(f"{split} {metric}" for split, metric in scores), "n"]
    cells = []
    for row in rows:
        found = [row["results"].get(split, {}).get(metric) for split, metric in scores]
        shown = [spread(value["values"]).percent(2) if value else "" for value in found]
        cells.append([*(plain(str(row["config"][key])) for key in keys), *shown, str(len(row["runs"]))])
    return table(head, cells)
