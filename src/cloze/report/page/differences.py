"""Differences between the configurations of runs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cloze.report.page.run import Run

ABSENT = "-"
REPEATED = ("preparation.", "data.preparation.", "data.objective.", "data.source.", "data.features.")
"""Copies of other sections: `conf/` gives the same values to several objects."""
OWN = ("run", "folder", "name")
"""Every run has its own; they say nothing about what was tried."""


class Difference(NamedTuple):
    """A key, and its value in each of the runs."""

    key: str
    values: Sequence[str]


def differences(runs: Sequence[Run]) -> list[Difference]:
    """The keys whose values are not the same in all runs, as dotted names, in the order of the configuration.

    Left out are the name and folder of the run, paths within that folder, and copies of a section that differs itself.
    """
    configs = [_leaves(run) for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    found = [Difference(key, [config.get(key, ABSENT) for config in configs]) for key in keys if key not in OWN]
    found = [entry for entry in found if len(set(entry.values)) > 1]
    shown = {tuple(entry.values) for entry in found if not entry.key.startswith(REPEATED)}
    return [entry for entry in found if not (entry.key.startswith(REPEATED) and tuple(entry.values) in shown)]


def _leaves(run: Run) -> dict[str, str]:
    folder = str(run.config.get("folder", run.folder))
    texts = dict(_dotted(run.config))
    return {key: text for key, text in texts.items() if not text.startswith(f"{folder}/") and text != folder}


def _dotted(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            found += _dotted(value, f"{prefix}{key}.") if value else []
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            found.append((f"{prefix}{key}", text))
    return found
