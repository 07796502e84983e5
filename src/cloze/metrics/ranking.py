"""Metrics of ranked lists: nDCG, reciprocal rank, average precision, recall, precision, success.

They are those of trec_eval: gains are the grades themselves; grades of 1 and more are relevant, what was not judged is
not; documents with equal scores stand in descending order of their names, as strings; a query of the judgements that
the run lacks, and one without a relevant document, count 0. Each metric ranks ties in this one way, where ir_measures
0.4.3 ranks them in opposite ways with and without a cutoff of the reciprocal rank.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from cloze.errors import InputError

Judgements = Mapping[str, Mapping[str, int]]
"""The grades of documents by query, what TREC calls qrels."""

Run = Mapping[str, Mapping[str, float]]
"""The scores of the documents that were found, by query."""

Metric = Callable[[np.ndarray, np.ndarray], float]
"""From the grades of a ranked list (n,) and the positive grades of all documents, best first (r,), to a number from 0
to 1."""


def ranked(found: Mapping[str, float]) -> list[str]:
    """The documents of a query, best first; of equal scores the last by name first."""
    return sorted(sorted(found, reverse=True), key=lambda document: -found[document])


def _ndcg(grades: np.ndarray, relevant: np.ndarray, cutoff: int | None) -> float:
    """The sum of grades over the logarithm of ranks, as a share of that of the best order (Järvelin & Kekäläinen 2002).

    With a cutoff the best order has one, too.
    """
    return _discounted(grades[:cutoff]) / _discounted(relevant[:cutoff])


def _discounted(grades: np.ndarray) -> float:
    return float((grades / np.log2(np.arange(2, len(grades) + 2))).sum())


def _reciprocal_rank(grades: np.ndarray, _: np.ndarray, cutoff: int | None) -> float:
    ranks = np.flatnonzero(grades[:cutoff])
    return 1 / (1 + int(ranks[0])) if len(ranks) else 0.0


def _average_precision(grades: np.ndarray, relevant: np.ndarray, cutoff: int | None) -> float:
    """The precisions at the ranks of the relevant documents, over the number of all relevant ones."""
    ranks = np.flatnonzero(grades[:cutoff])
    return float((np.arange(1, len(ranks) + 1) / (1 + ranks)).sum()) / len(relevant)


def _recall(grades: np.ndarray, relevant: np.ndarray, cutoff: int | None) -> float:
    return np.count_nonzero(grades[:cutoff]) / len(relevant)


def _precision(grades: np.ndarray, _: np.ndarray, cutoff: int | None) -> float:
    return np.count_nonzero(grades[:cutoff]) / (cutoff or max(1, len(grades)))


def _success(grades: np.ndarray, _: np.ndarray, cutoff: int | None) -> float:
    return float(grades[:cutoff].any())


METRICS = {
    "ndcg": _ndcg,
    "mrr": _reciprocal_rank,
    "map": _average_precision,
    "recall": _recall,
    "precision": _precision,
    "accuracy": _success,
}
"""By the first part of a name, as of `ndcg@10`; `accuracy@1` is the share of queries with a relevant document there."""


def metric(name: str) -> Metric:
    """The metric of a name, as `ndcg@10` or, of the whole list, `map`.

    Raises:
        InputError: there is none.
    """
    match = re.fullmatch(r"(?P<kind>\w+?)(@(?P<cutoff>[1-9]\d*))?", name)
    if match is None or match["kind"] not in METRICS:
        raise InputError(
            f"{name!r} is no metric of ranked lists: expected one of {', '.join(METRICS)}, and @RANK for the first "
            "ranks alone, as ndcg@10"
        )
    kind, cutoff = METRICS[match["kind"]], None if match["cutoff"] is None else int(match["cutoff"])
    return lambda grades, relevant: kind(grades, relevant, cutoff) if len(relevant) else 0.0


def by_query(names: Iterable[str], judgements: Judgements, run: Run) -> dict[str, dict[str, float]]:
    """The value of each metric for each query of the judgements.

    Args:
        names: of metrics.
        judgements: what is relevant; queries of the run that it lacks are left out.
        run: what was found.

    Raises:
        InputError: a name is that of no metric.
    """
    metrics = {name: metric(name) for name in names}
    found: dict[str, dict[str, float]] = {name: {} for name in metrics}
    for query, graded in judgements.items():
        grades = np.array([max(0, graded.get(document, 0)) for document in ranked(run.get(query, {}))], np.float64)
        relevant = np.array(sorted((grade for grade in graded.values() if grade > 0), reverse=True), np.float64)
        for name, of in metrics.items():
            found[name][query] = of(grades, relevant)
    return found


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the queries; 0 where there are none."""
    return {name: sum(each.values()) / max(1, len(each)) for name, each in values.items()}
