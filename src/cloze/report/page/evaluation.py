"""The evaluation of a fine-tuned model for each split, from `predictions/`."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cloze.data.tables.examples import Prediction
from cloze.errors import InputError
from cloze.files.bounded import parse_json, read_json
from cloze.files.layout import MODEL, PREDICTIONS
from cloze.report.classes import ClassScore, class_scores, labelled
from cloze.report.page.run import Run
from cloze.report.predictions import legible, worst

LARGEST_MATRIX = 20  # classes
CONFUSIONS = 20
LONGEST = 400  # characters of a text


class Confusion(NamedTuple):
    """Confusion matrix.

    Attributes:
        labels: of the classes, at most `LARGEST_MATRIX`; none where there are more.
        rows: of each class, for each class: the count, and 0 to 10 for its share of the row.
        pairs: the most frequent confusions: count, label, prediction.
    """

    labels: Sequence[str]
    rows: Sequence[Sequence[tuple[int, int]]]
    pairs: Sequence[tuple[int, str, str]]


class Split(NamedTuple):
    """The predictions of a split: how many, and of a split with labels what they are worth."""

    name: str
    examples: int
    known: int
    wrong: int
    classes: Sequence[ClassScore] = ()
    confusion: Confusion | None = None
    errors: Sequence[dict[str, str]] = ()

    @property
    def columns(self) -> list[str]:
        """Of the errors, those that hold anything."""
        return list(dict.fromkeys(key for row in self.errors for key, value in row.items() if value))


def read_splits(run: Run, *, most: int) -> list[Split]:
    """The splits that were predicted, each with at most this many errors.

    Raises:
        InputError: a file of predictions is broken.
    """
    return [_split(file, run, most) for file in sorted((run.folder / PREDICTIONS).glob("*.jsonl"))]


def _split(file: Path, run: Run, most: int) -> Split:
    predictions = list(_records(file))
    known = labelled(predictions)
    if not known:
        return Split(file.stem, len(predictions), 0, 0)
    labels, matrix = _matrix(file.with_name(f"{file.stem}_confusion.csv"))
    try:
        errors = worst(known, len(known))
        return Split(
            name=file.stem,
            examples=len(predictions),
            known=len(known),
            wrong=sum(record.get("correct") is False for record in known),
            classes=class_scores(known, labels or _labels(run)),
            confusion=_confusion(matrix, labels) if labels else None,
            errors=[{key: _cut(text) for key, text in legible(record).items()} for record in errors[:most]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file}: a prediction does not have all that the others of its task have ({error!r}); predict again"
        ) from error


def _records(file: Path) -> Iterator[Prediction]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = parse_json(line)
            except ValueError as error:
                raise InputError(f"{file}, line {number}: not JSON ({error}); run the evaluation again") from error
            if not isinstance(record, dict):
                raise InputError(f"{file}, line {number}: expected an object of JSON; run the evaluation again")
            yield record


def _labels(run: Run) -> list[str]:
    """Of the model's configuration; where each example may have several there is no matrix to read them from."""
    try:
        names: dict[str, Any] = read_json(run.folder / MODEL / "config.json")["id2label"]
        return [str(names[number]) for number in sorted(names, key=int)]
    except (OSError, ValueError, KeyError):
        return []


def _matrix(file: Path) -> tuple[list[str], np.ndarray]:
    """The labels and the (L, L) counts that the evaluation wrote; no labels where it wrote none."""
    if not file.is_file():
        return [], np.zeros((0, 0), np.int64)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        head, *rows = csv.reader(lines)
    try:
        counts = np.array([[int(cell) for cell in row[1:]] for row in rows], np.int64)
    except ValueError as error:
        raise InputError(f"{file}: expected a table of counts ({error}); run the evaluation again") from error
    labels = head[1:]
    if counts.shape != (len(labels), len(labels)):
        raise InputError(f"{file}: expected as many rows as labels, {len(labels)}; run the evaluation again")
    return labels, counts


def _confusion(matrix: np.ndarray, labels: Sequence[str]) -> Confusion:
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[: min(CONFUSIONS, np.count_nonzero(wrong))]
    cells = [divmod(int(index), len(labels)) for index in order]
    pairs = [(int(wrong[cell]), labels[cell[0]], labels[cell[1]]) for cell in cells]
    if len(labels) > LARGEST_MATRIX:
        return Confusion([], [], pairs)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    rows = [
        [(int(count), round(10 * float(share))) for count, share in zip(counts, of_row, strict=True)]
        for counts, of_row in zip(matrix, shares, strict=True)
    ]
    return Confusion(labels, rows, pairs if len(labels) > 2 else [])


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"
