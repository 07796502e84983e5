"""The output of an evaluation on a split: predictions, errors, classes, confusion matrix."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cloze.data.tables.examples import Prediction
from cloze.files.atomic import write_atomically
from cloze.metrics.classification import auroc, average_precision
from cloze.report.classes import ClassScore, Confusions, class_scores, confusion, labelled
from cloze.report.markdown import plain, table
from cloze.report.picture import confusion_picture
from cloze.report.predictions import write_csv, write_errors, write_predictions
from cloze.runtime.wording import counted

LARGEST_PICTURE = 30  # classes
LARGEST_TABLE = 12  # classes
CONFUSIONS = 20


def write_report(
    predictions: Sequence[Prediction],
    folder: Path,
    split: str,
    *,
    labels: Sequence[str],
    metrics: Mapping[str, float],
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Write what there is to say about a split into `folder`.

    `SPLIT.jsonl` and `SPLIT.csv`: every prediction. Of a split with labels also `SPLIT_errors.md` and `.csv` (the most
    confident errors), `SPLIT_report.md` (metrics, classes, confusions), and where an example has one class
    `SPLIT_confusion.csv` and, of up to 30 classes, `.png`.

    Args:
        predictions: one an example.
        folder: made if it is missing.
        split: begins the names of the files.
        labels: of the task; none where it has no classes.
        metrics: of this split, as fractions; none for a split without labels.
        thresholds: from which probability each of several labels applies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(predictions, folder / split)
    known = labelled(predictions)
    if not known:
        return
    write_errors(known, folder / split)
    found = confusion(known, labels)
    if found is not None:
        _write_confusion(found, folder, split)
    columns = rankings(known, labels) | ({"threshold": thresholds} if thresholds else {})
    parts = [
        f"# {split}: {counted(len(known), 'labelled examples')}",
        table(["metric", "value"], [[plain(name), f"{value:.4f}"] for name, value in metrics.items()]),
        *_classes(class_scores(known, labels), columns),
        *_confusions(found),
        f"The most confident errors: [{split}_errors.md]({split}_errors.md)",
    ]
    write_atomically(folder / f"{split}_report.md", ("\n\n".join(parts) + "\n").encode())


def _write_confusion(found: Confusions, folder: Path, split: str) -> None:
    labels, matrix = found
    rows = ([name, *row] for name, row in zip(labels, matrix.tolist(), strict=True))
    write_csv(["label", *labels], rows, folder / f"{split}_confusion.csv")
    if len(labels) <= LARGEST_PICTURE:
        picture = confusion_picture(matrix, labels, f"{split}: label and prediction")
        write_atomically(folder / f"{split}_confusion.png", picture)


def _classes(scores: Sequence[ClassScore], more: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not scores:
        return []
    rows = [
        [plain(score.name), f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}"]
        + ["undefined" if math.isnan(of[score.name]) else f"{of[score.name]:.3f}" for of in more.values()]
        + [f"{score.support:,}"]
        for score in scores
    ]
    return ["## Classes", table(["class", "precision", "recall", "F1", *more, "support"], rows)]


def rankings(known: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """AUROC and average precision of each class or label, NaN where undefined; none without their probabilities.

    Args:
        known: predictions with labels.
        labels: of the task.
    """
    if not labels or not all(set(labels) <= set(record.get("probabilities") or ()) for record in known):
        return {}
    said = np.array([[record["probabilities"][label] for label in labels] for record in known])
    right = [record["label"] if isinstance(record["label"], list) else [record["label"]] for record in known]
    applies = np.array([[label in names for label in labels] for names in right])
    titles = {"AUROC": auroc, "average precision": average_precision}
    return {title: dict(zip(labels, metric(said, applies).tolist(), strict=True)) for title, metric in titles.items()}


def _confusions(found: Confusions | None) -> list[str]:
    """The whole matrix while it is small, and the most frequent confusions."""
    if found is None:
        return []
    labels, matrix = found
    parts = ["## Label and prediction"]
    names = [plain(label) for label in labels]
    if len(labels) <= LARGEST_TABLE:
        rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, matrix, strict=True)]
        parts.append(table(["label", *names], rows))
    wrong = matrix - np.diag(np.diag(matrix))
    if len(labels) > 2 and wrong.any():
        order = np.argsort(-wrong, axis=None, kind="stable")[: min(CONFUSIONS, np.count_nonzero(wrong))]
        cells = [divmod(int(index), len(labels)) for index in order]
        rows = [[f"{wrong[cell]:,}", names[cell[0]], names[cell[1]]] for cell in cells]
        parts += ["The most frequent confusions:", table(["count", "label", "predicted"], rows)]
    return parts
