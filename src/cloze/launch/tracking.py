"""Log the origin and results of a run to its dashboards."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from cloze.config.schema import Run
from cloze.data.tables.examples import Prediction
from cloze.errors import Stopped
from cloze.files.layout import METRICS
from cloze.loggers import MetricsFile
from cloze.loggers.protocol import RunInfo, Table, dashboards
from cloze.report.classes import class_scores, confusion, labelled
from cloze.report.picture import confusion_picture
from cloze.report.predictions import legible, worst
from cloze.report.split import LARGEST_PICTURE
from cloze.run.folder import RunFolder, git, provenance
from cloze.runtime.redaction import masked, masked_text
from cloze.runtime.wording import counted
from cloze.tasks.finetuning import prefix

LONGEST_DIFF = 500_000  # characters
ERRORS = 25


@contextmanager
def tracked(trainer: pl.Trainer, config: Run, data: Mapping[str, Any], *, resume_step: int) -> Iterator[None]:
    """Writes the configuration of a run, and opens its logs with how it came about; closes them, whatever happens.

    Args:
        trainer: which gets the loggers.
        config: the root.
        data: what it learns from, as plain containers.
        resume_step: the step that it resumes from: what was logged after it is dropped.

    Raises:
        InputError: another process is training there, or the folder cannot be written.
    """
    trainer.loggers = [
        MetricsFile(Path(config.folder) / METRICS, resume_step=resume_step),
        *(logger.build() for logger in config.logger.values()),
    ]
    if trainer.is_global_zero:
        RunFolder(Path(config.folder), config.recorded).write_config()
    found = dashboards(trainer.loggers) if trainer.is_global_zero else []
    failed = True
    try:
        if found:
            told = run_info(config.recorded, data)
            for dashboard in found:
                dashboard.begin(told, resume_step)
        yield
        failed = False
    except Stopped:
        failed = False
        raise
    finally:
        for dashboard in found:
            dashboard.end(failed=failed)


def run_info(config: Mapping[str, Any], data: Mapping[str, Any]) -> RunInfo:
    """The origin of a run, without secrets."""
    versions = sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()}, key=str.lower)
    texts = {
        "provenance": "\n".join(provenance()),
        "packages": "\n".join(versions),
        "data": json.dumps(masked(data), indent=1, ensure_ascii=False),
    }
    if diff := changes():
        texts["changes"] = masked_text(diff)
    return RunInfo(dict(config), texts)


def changes() -> str:
    """What was changed in the code since its revision; nothing outside a repository."""
    diff = git("diff", "HEAD") or ""
    rest = len(diff) - LONGEST_DIFF
    return diff if rest <= 0 else f"{diff[:LONGEST_DIFF]}\n... and {counted(rest, 'characters')} more"


def log_evaluation(
    trainer: pl.Trainer,
    predictions: Sequence[Prediction],
    split: str,
    *,
    labels: Sequence[str],
    metrics: Mapping[str, float],
) -> None:
    """What was found on a split at the end: its scores, classes, confusions and worst errors.

    Args:
        trainer: with the loggers.
        predictions: one an example.
        split: `dev`, `test`, or one of several.
        labels: of the task; none where it has no classes.
        metrics: of this split, as fractions.
    """
    step, section = trainer.global_step, _section(split)
    if metrics:
        for logger in trainer.loggers[1:]:  # the first is the file of training
            logger.log_metrics({f"{section}/{name}": value for name, value in metrics.items()}, step=step - 1)
            logger.save()
    known = labelled(predictions)
    if not known:
        return
    classes = Table(
        ("class", "precision", "recall", "F1", "support"), [tuple(row) for row in class_scores(known, labels)]
    )
    errors = [legible(record) for record in worst(known, ERRORS)]
    columns = list(dict.fromkeys(key for record in errors for key in record))
    found = confusion(known, labels)
    for dashboard in dashboards(trainer.loggers):
        if classes.rows:
            dashboard.log_table(f"{section}/classes", classes, step)
        if errors:
            rows = [[record.get(column, "") for column in columns] for record in errors]
            dashboard.log_table(f"{section}/worst_errors", Table(columns, rows), step)
        if found is not None:
            rows = [[label, *counts] for label, counts in zip(found.labels, found.counts.tolist(), strict=True)]
            dashboard.log_table(f"{section}/confusion", Table(("label", *found.labels), rows), step)
            if len(found.labels) <= LARGEST_PICTURE:
                picture = confusion_picture(found.counts, found.labels, f"{split}: label and prediction")
                dashboard.log_picture(f"{section}/confusion_picture", picture, step)


def _section(split: str) -> str:
    return prefix(split) if split.startswith("dev") else split
