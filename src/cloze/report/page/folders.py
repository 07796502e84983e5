"""Find the runs in the given folders, including those of sweeps."""

import os
from collections.abc import Iterable
from pathlib import Path

from cloze.errors import InputError
from cloze.files.layout import CONFIG, METRICS


def is_run(folder: Path) -> bool:
    """A run leaves its configuration when it begins, and metrics soon after."""
    return (folder / CONFIG).is_file() or (folder / METRICS).is_file()


def find_runs(given: Iterable[Path]) -> list[Path]:
    """The runs, each once; in place of a folder that is none, the runs up to two levels below, as sweeps have them.

    Raises:
        InputError: a folder is missing, or there is no run in it.
    """
    found: list[Path] = []
    for folder in given:
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; give the folders of runs, as runs/NAME")
        below = (
            [folder] if is_run(folder) else _below(folder) or [run for sub in _sorted(folder) for run in _below(sub)]
        )
        if not below:
            raise InputError(
                f"{folder} is no run: it has neither {CONFIG} nor {METRICS}; give runs/NAME, or a sweep's folder"
            )
        found += below
    return list({run.resolve(): run for run in found}.values())


def shared_parent(runs: Iterable[Path]) -> Path:
    """The deepest folder that holds all of them."""
    return Path(os.path.commonpath([run.absolute().parent for run in runs]))


def _below(folder: Path) -> list[Path]:
    return [path for path in _sorted(folder) if is_run(path)]


def _sorted(folder: Path) -> list[Path]:
    """The folders in it: 0, 1, ..., 10 by number, then the others by name."""
    folders = (path for path in folder.iterdir() if path.is_dir())
    return sorted(
        folders, key=lambda path: (not path.name.isdigit(), int(path.name) if path.name.isdigit() else 0, path.name)
    )
