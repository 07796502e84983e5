"""`metrics.csv`: every metric of a run in one table."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


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
        if rows := read_rows(file):
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
        self.row |= {name: _written(float(value)) for name, value in metrics.items() if name != "epoch"}

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in `config.yaml` next to the file."""

    @rank_zero_only
    def save(self) -> None:
        """Write the present row as the last one, in place of what was known of it before."""
        if not self.row:
            return
        new = [name for name in self.row if name not in self.columns]
        if new or not self.file.exists():
            self.columns += new
            self._write([row for row in read_rows(self.file) if row["step"] != self.row["step"]])
        with self.file.open("r+", newline="", encoding="utf-8") as file:
            file.seek(self.begin)
            file.truncate()
            csv.DictWriter(file, self.columns, restval="").writerow(self.row)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only
    def _write(self, rows: list[dict[str, str]]) -> None:
        """The whole file, under a temporary name and renamed: a reader never sees half of it."""
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


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of the file; none where there is no file. A last row that is truncated is left out."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # killed, or the disk was full, while the last row was written
        lines.pop()
    return list(csv.DictReader(lines))


def _written(value: float) -> str:
    """Six digits; a count in full."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 2**53 else f"{value:.6g}"
