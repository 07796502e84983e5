"""Common parts of the dashboard loggers: the two axes of every row, the names of runs."""

from abc import abstractmethod
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from cloze.files.atomic import write_atomically
from cloze.files.layout import METRICS
from cloze.loggers.metrics_file import read_rows
from cloze.loggers.protocol import TOKENS


class AxesLogger(Logger):
    """Gives every row the steps that are done and the tokens that were seen; a kind of dashboard says where it goes.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self._tokens = 0
        self._resume_step = 0
        self._known: set[str] = set()  # metrics of that step that were logged before

    def go_on_from(self, resume_step: int) -> None:
        """What was logged of the step of a checkpoint will not be logged twice: it is in `metrics.csv` by then."""
        self._resume_step = resume_step
        rows = read_rows(self.folder / METRICS) if resume_step else []
        last = next((row for row in rows if row["step"] == str(resume_step)), {})
        self._known = {name for name, value in last.items() if value}

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration comes with `begin`."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """A row; Lightning's steps count from zero, those of all our files and charts tell how many are done."""
        done = (step or 0) + 1
        row = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self._tokens = int(row.get(TOKENS, self._tokens))
        if done == self._resume_step:
            row = {name: value for name, value in row.items() if name not in self._known}
        if row:
            self.write(row, done, self._tokens)

    @abstractmethod
    def write(self, row: Mapping[str, float], step: int, tokens: int) -> None:
        """Write a row at both axes."""


def run_names(folder: Path) -> tuple[str, str | None]:
    """What a run is called, and its group: `runs/rates/3` is `rates/3` in the group `rates`, as the runs of a sweep."""
    parts = [part for part in folder.parts if part not in ("/", ".", "..")]
    if folder.is_absolute():
        parts = parts[-1:]
    names = parts[1:] or parts or ["run"]
    return "/".join(names), "/".join(names[:-1]) or None


def kept_id(file: Path, make: str) -> str:
    """The id that was kept in a file, else `make`, which is kept from now on."""
    if file.is_file() and (found := file.read_text(encoding="utf-8").strip()):
        return found
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{make}\n".encode())
    return make


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys, as they are written on the command line.

    >>> flat({"optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}})
    {'optimizer.lr': 0.1, 'optimizer.betas': [0.9, 0.999]}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
