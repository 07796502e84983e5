"""Weights & Biases: one W&B run for each run of cloze, however often it is resumed."""

import io
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from cloze.errors import InputError
from cloze.files.layout import METRICS
from cloze.loggers.axes import AxesLogger, kept_id, run_names
from cloze.loggers.metrics_file import read_rows
from cloze.loggers.protocol import STEP, TOKENS, RunInfo, Table
from cloze.runtime.redaction import has_wandb_key, masked_text

RUN_ID = "wandb/run_id.txt"
"""In the folder of a run: the id of theirs."""


class WandbLogger(AxesLogger):
    """Lightning's own logger keys its charts on a step that starts from scratch in every offline process of a run.

    Here both the x-axis of the charts and their internal step are the optimizer steps that are done. A resumed run logs
    the same values again for the steps after its checkpoint, of which theirs keeps one.

    Args:
        folder: of the run.
        offline: keep everything in the folder.
        settings: for `wandb.init`: project, entity, group, name, tags, notes, job_type.
    """

    def __init__(self, folder: str | Path, *, offline: bool, settings: Mapping[str, Any]) -> None:
        super().__init__(folder)
        self.offline = offline
        self.settings = dict(settings)
        self.run: Any = None

    def begin(self, info: RunInfo, resume_step: int) -> None:
        import wandb

        identity = kept_id(self.folder / RUN_ID, os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
        own = wandb.Settings(console="off", disable_git=True, disable_code=True, silent=self.offline)
        mode: Literal["offline", "online"] = "offline" if self.offline else "online"
        with _masked_command():
            self.run = wandb.init(
                **self.settings, id=identity, dir=self.folder, mode=mode, resume="allow", reinit="finish_previous",
                config=dict(info.config), settings=own,
            )  # fmt: skip
        self.run.define_metric(STEP, hidden=True)
        self.run.define_metric(TOKENS, step_metric=STEP)
        self.run.define_metric("*", step_metric=STEP)
        if resume_step == 0 or self.offline:
            for name, text in info.texts.items():
                self._save(f"{name}.txt", text)
        if resume_step and self.offline:
            self._tell_again()

    def write(self, row: Mapping[str, float], step: int, tokens: int) -> None:
        if self.run is not None:
            self.run.log({**row, STEP: step, TOKENS: tokens}, step=step)

    def log_table(self, name: str, table: Table, step: int) -> None:
        import wandb

        shown = wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
        self.run.log({name: shown, STEP: step}, step=step)

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        import wandb
        from PIL import Image

        self.run.log({name: wandb.Image(Image.open(io.BytesIO(png))), STEP: step}, step=step)

    def end(self, *, failed: bool) -> None:
        if self.run is not None:
            self.run.finish(exit_code=int(failed))
            self.run = None

    def _tell_again(self) -> None:
        """The rows of earlier processes: their files end up to 15 s before a kill, and only the last one counts.

        `wandb sync` puts a file in the place of what an earlier one of the same run has brought.
        """
        for row in read_rows(self.folder / METRICS):
            values = {name: float(value) for name, value in row.items() if value}
            self.run.log(values, step=int(row[STEP]))

    def _save(self, name: str, text: str) -> None:
        """As a file of the run, which their pages show under Files."""
        file = Path(self.run.dir) / name
        file.write_text(text, encoding="utf-8")
        self.run.save(str(file), base_path=self.run.dir, policy="now")


def wandb_logger(
    *,
    folder: str,
    project: str = "cloze",
    entity: str | None = None,
    group: str | None = None,
    name: str | None = None,
    tags: list[str] | None = None,
    notes: str | None = None,
    offline: bool | None = None,
) -> WandbLogger:
    """Weights & Biases.

    Args:
        folder: the run's folder; `wandb/` in it holds their files.
        project: theirs.
        entity: the team, or None for the key's own.
        group: of several runs; None: the runs of a sweep belong to the group of its name, others to none.
        name: what the run is called there; None: its folder, without the first part.
        tags: of this run.
        notes: a text about it.
        offline: keep everything here (`wandb sync` sends it later); None: when there is no key, or WANDB_MODE says so.

    Raises:
        InputError: the package is not installed.
    """
    if find_spec("wandb") is None:
        raise InputError("logger=wandb needs the package wandb: pip install wandb, or take logger=csv")
    if offline is None:
        offline = os.environ.get("WANDB_MODE", "online") != "online" or not has_wandb_key()
    own_name, own_group = run_names(Path(folder))
    settings = {
        "project": project,
        "entity": entity,
        "group": group or own_group,
        "name": name or own_name,
        "tags": tags,
        "notes": notes,
    }
    return WandbLogger(folder, offline=offline, settings=settings)


@contextmanager
def _masked_command() -> Iterator[None]:
    """Their record of the machine holds the command, word by word."""
    words = sys.argv
    sys.argv = [masked_text(word) for word in words]
    try:
        yield
    finally:
        sys.argv = words
