"""TensorBoard: metrics by steps and by tokens, tables and texts as Markdown, figures."""

import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from cloze.errors import InputError
from cloze.loggers.axes import AxesLogger, flat
from cloze.loggers.protocol import Cell, RunInfo, Table
from cloze.runtime.distribution import installation

BY_STEPS, BY_TOKENS = "steps", "tokens"
"""TensorBoard has one x-axis a run, so there are two of theirs."""


class EventsLogger(AxesLogger):
    """Event files in `folder/tensorboard/steps` and `.../tokens`; values that a resumed run logs again are hidden."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._writers: dict[str, Any] = {}
        self._resumed = False

    def begin(self, info: RunInfo, resume_step: int) -> None:
        from torch.utils.tensorboard.summary import hparams

        self._resumed = resume_step > 0
        self.go_on_from(resume_step)
        # TensorBoard hides what earlier files hold from this step on; a first file needs no such mark.
        self._open(BY_STEPS, resume_step + 1 if resume_step else None)
        if resume_step:
            return
        steps = self._writers[BY_STEPS]
        settings = {
            key: value for key, value in flat(info.config).items() if isinstance(value, bool | int | float | str)
        }
        # Which settings there were, and by which metric to compare.
        for part in hparams(settings, {"val/loss": 0.0})[:2]:
            steps.file_writer.add_summary(part)
        texts = {"config": yaml.safe_dump(dict(info.config), sort_keys=False, allow_unicode=True), **info.texts}
        for name, text in texts.items():
            steps.add_text(f"run/{name}", _block(text), 0)
        steps.flush()

    def write(self, row: Mapping[str, float], step: int, tokens: int) -> None:
        if not self._writers:
            return
        if BY_TOKENS not in self._writers:
            self._open(BY_TOKENS, tokens if self._resumed else None)
        now = time.time()
        for axis, place in ((BY_STEPS, step), (BY_TOKENS, tokens)):
            for name, value in row.items():
                self._writers[axis].add_scalar(name, value, place, walltime=now)
            self._writers[axis].flush()  # a run that is killed has its last row

    def log_table(self, name: str, table: Table, step: int) -> None:
        self._writers[BY_STEPS].add_text(name, markdown(table), step)

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])  # of the header, by the PNG specification
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._writers[BY_STEPS].file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def _open(self, axis: str, purge_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writers[axis] = SummaryWriter(str(self.folder / "tensorboard" / axis), purge_step=purge_step)

    def end(self, *, failed: bool) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def tensorboard_logger(*, folder: str) -> EventsLogger:
    """TensorBoard event files.

    Args:
        folder: the run's folder; `tensorboard/` in it holds them.

    Raises:
        InputError: the package is not installed.
    """
    if find_spec("tensorboard") is None:
        raise InputError(
            f"logger=tensorboard needs the package tensorboard: {installation('tensorboard')}, or take logger=csv"
        )
    return EventsLogger(folder)


def markdown(table: Table) -> str:
    """A table as Markdown, with any text in its cells."""
    lines = [_line(table.columns), _line(["---"] * len(table.columns)), *(_line(row) for row in table.rows)]
    return "\n".join(lines)


def _line(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(_escaped(cells))} |"


def _escaped(cells: Iterable[Cell]) -> Iterable[str]:
    for cell in cells:
        text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
        yield " ".join(text.replace("|", "\\|").split())


def _block(text: str) -> str:
    """As it stands: Markdown takes indented lines for code."""
    return "".join(f"    {line}\n" for line in text.splitlines())
