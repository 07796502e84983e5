"""Metrics of classification, regression and several labels, on whole splits, in NumPy.

What is undefined (the correlation of a constant, the F1 of a class that is nowhere) counts as 0, as in scikit-learn.
"""

from collections.abc import Callable, Mapping

import numpy as np

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


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "single_label": {"accuracy": accuracy, "f1": f1, "macro_f1": macro_f1, "matthews": matthews},
    "multi_label": {"micro_f1": f1, "macro_f1": macro_f1, "accuracy": accuracy},
    "regression": {"pearson": pearson, "spearman": spearman},
}
"""The metrics of each problem by their names."""
