"""Where the metrics go: `metrics.csv` always, Weights & Biases or TensorBoard on demand and imported only then."""

import csv
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from cloze.confidential import masked_text
from cloze.errors import InputError


class MetricsFile(Logger):
    """One CSV file, a row for each logged step; readable at any moment, and continued by a resumed run.

    Lightning's own CSV logger writes into numbered folders and deletes the file of the run that it resumes.

    Args:
        file: the CSV file. A column is added when its metric appears for the first time.
        resume_step: rows after this optimizer step are dropped: the resumed run writes them again. The row of the step
            itself may still be added to.
    """

    def __init__(self, file: Path, *, resume_step: int = 0) -> None:
        super().__init__()
        self.file = file
        self.columns = ["step"]
        self.row: dict[str, str] = {}  # the present step's, the last of the file
        self.begin = 0  # where that row begins in the file, bytes
        if rows := _read(file):
            self.columns = list(rows[0])
            self._write([row for row in rows if int(row["step"]) < resume_step])
            self.row = next((_filled(row) for row in rows if int(row["step"]) == resume_step), {})
            self.save()

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of a step; Lightning's steps count from zero, the file's tell how many are done."""
        done = str((step or 0) + 1)
        if self.row.get("step") != done:
            self.row = {"step": done}
            self.begin = self.file.stat().st_size if self.file.exists() else 0
        self.row |= {name: f"{float(value):.6g}" for name, value in metrics.items() if name != "epoch"}

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in `config.yaml` beside the file."""

    @rank_zero_only
    def save(self) -> None:
        """Write the present row as the last one, in place of what was known of it before."""
        if not self.row:
            return
        new = [name for name in self.row if name not in self.columns]
        if new or not self.file.exists():
            self.columns += new
            self._write([row for row in _read(self.file) if row["step"] != self.row["step"]])
        with self.file.open("r+", newline="", encoding="utf-8") as file:
            file.seek(self.begin)
            file.truncate()
            csv.DictWriter(file, self.columns, restval="").writerow(self.row)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only
    def _write(self, rows: list[dict[str, str]]) -> None:
        """The whole file, beside its place and renamed: a reader never sees half of it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.file.with_suffix(".new")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
            self.begin = file.tell()
        beside.rename(self.file)


def _filled(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


def _read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # killed, or the disk was full, while the last row was written
        lines.pop()
    return list(csv.DictReader(lines))


def wandb_logger(
    *,
    folder: str,
    name: str,
    project: str = "cloze",
    entity: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    offline: bool | None = None,
) -> Logger:
    """Weights & Biases, one run of theirs for one run of ours, continued when ours is resumed.

    Args:
        folder: the run's folder; `wandb/` in it holds their files.
        name: what the run is called there.
        project: theirs.
        entity: the team, or None for the key's own.
        group: of several runs.
        tags: of this run.
        offline: keep everything here (`wandb sync` sends it later); None: when there is no key.

    Raises:
        InputError: the package is not installed.
    """
    if offline is None:
        offline = not _has_wandb_key()
    identity = "-".join(Path(folder).parts[1:] or [name])
    try:
        import wandb

        return WandbLogger(
            name=name,
            id=identity,
            save_dir=folder,
            project=project,
            offline=offline,
            entity=entity,
            group=group,
            tags=tags,
            # Their record of the machine holds the command, word by word.
            settings=wandb.Settings(x_disable_meta=True) if _command_has_secrets() else None,
        )
    except ModuleNotFoundError as error:
        raise InputError("logger=wandb needs the package wandb: pip install wandb, or take logger=csv") from error


def _command_has_secrets() -> bool:
    words = sys.argv[1:]
    return [masked_text(word) for word in words] != words


def _has_wandb_key() -> bool:
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return "WANDB_API_KEY" in os.environ or (netrc.is_file() and "api.wandb.ai" in netrc.read_text(encoding="utf-8"))


def tensorboard_logger(*, folder: str) -> Logger:
    """TensorBoard event files in `folder`.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return TensorBoardLogger(save_dir=folder, name="", version="")
    except ModuleNotFoundError as error:
        raise InputError(
            "logger=tensorboard needs the package tensorboard: pip install 'cloze[tensorboard]', or take logger=csv"
        ) from error
