"""Metrics of classification, regression and multi-label tasks, over whole splits.

What is undefined (the correlation of a constant, the F1 of a class that is nowhere) counts as 0, as in scikit-learn;
but AUROC and average precision of a class that no row has, or every row, are NaN, which a mean leaves out.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from cloze.errors import InputError

Metric = Callable[[np.ndarray, np.ndarray], float]
"""From predictions and labels, of the same shape, to a number; higher is better."""


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The share of right ones: classes (n,); or of rows (n, L) in which every label is right."""
    right = predictions == labels
    return float(right.reshape(len(right), -1).all(axis=1).mean())


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1 of two: (n,), or of all labels of all rows together (n, L), micro-averaged."""
    return _f1(predictions == 1, labels == 1)


def macro_f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The mean F1 of the classes that are predicted or right anywhere (n,), or of all labels (n, L)."""
    if labels.ndim == 2:
        return float(np.mean([f1(p, y) for p, y in zip(predictions.T, labels.T, strict=True)]))
    return float(np.mean([_f1(predictions == c, labels == c) for c in np.union1d(predictions, labels)]))


def _f1(predicted: np.ndarray, positive: np.ndarray) -> float:
    found, either = np.count_nonzero(predicted & positive), np.count_nonzero(predicted) + np.count_nonzero(positive)
    return 2 * found / either if either else 0.0


def matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation of classes (n,), for any number of them (Gorodkin 2004, equation 8)."""
    classes = np.union1d(predictions, labels)
    predicted = (predictions[:, None] == classes).astype(np.float64)
    right = (labels[:, None] == classes).astype(np.float64)
    return _correlation(predicted, right)


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's correlation of scores (n,)."""
    return _correlation(predictions.astype(np.float64), labels.astype(np.float64))


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Spearman's correlation of scores (n,): Pearson's of their ranks; ties share their mean rank."""
    return _correlation(_ranks(predictions), _ranks(labels))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays of one shape, centred by column; 0 where one of them is constant."""
    if (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _ranks(scores: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: np.ndarray = (last - (counts - 1) / 2)[places]
    return mean_rank


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The area under the curve of true over false positives of each class, (n, L) to (L,)."""
    return _ranked(binary_auroc, probabilities, labels)


def average_precision(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean precision over the positives of each class in the order of their probabilities, (n, L) to (L,)."""
    return _ranked(binary_average_precision, probabilities, labels)


def _ranked(
    metric: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], probabilities: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    found = np.full(labels.shape[1], np.nan)
    for number in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        said, right = (torch.from_numpy(np.ascontiguousarray(array[:, number])) for array in (probabilities, labels))
        found[number] = float(metric(said, right.long()))
    return found


def best_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each label the probability from which it applies for the best F1, (n, L) to (L,).

    Between two probabilities of the split, of equally good places the nearest to 0.5; 0.5 where no row has the label.
    """
    return np.array([_best_threshold(p, y) for p, y in zip(probabilities.T, labels.T, strict=True)])


def _best_threshold(probabilities: np.ndarray, positive: np.ndarray) -> float:
    if not positive.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # of equal probabilities
    scores = 2 * np.cumsum(positive[order])[last] / (last + 1 + positive.sum())
    between = (ranked[last] + np.append(ranked[last[1:]], 0.0)) / 2
    best = between[scores >= scores.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "single_label": {"accuracy": accuracy, "f1": f1, "macro_f1": macro_f1, "matthews": matthews},
    "multi_label": {"micro_f1": f1, "macro_f1": macro_f1, "accuracy": accuracy},
    "regression": {"pearson": pearson, "spearman": spearman},
}
"""The metrics of each problem by their names."""

RANKINGS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "auroc": auroc,
    "average_precision": average_precision,
}
"""Metrics of probabilities and of labels as 0 and 1, (n, L); of classes and labels, one by one."""


def check_metrics(names: Sequence[str], problem: str, labels: Sequence[str]) -> None:
    """See that metrics fit the kind of label.

    Raises:
        InputError: one does not, or is none.
    """
    known = [*METRICS[problem], *(RANKINGS if problem != "regression" else ())]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"task.module.metrics: {name!r} is no metric of {problem}; {guess}known: {', '.join(known)}"
            )
    if problem == "single_label" and "f1" in names and len(labels) != 2:
        raise InputError(f"task.module.metrics: f1 is for two classes, here are {len(labels)}; choose macro_f1")
