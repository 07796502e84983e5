"""Metrics against torchmetrics and against plain statements of their definitions."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torchmetrics.functional as oracle
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multilabel_f1_score

from cloze.metrics.classification import (
    METRICS,
    accuracy,
    auroc,
    average_precision,
    best_thresholds,
    f1,
    macro_f1,
    matthews,
    pearson,
    spearman,
)

pairs_of_classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
ties = st.integers(0, 5).map(float)
pairs_of_scores = st.lists(st.tuples(ties, ties), min_size=3, max_size=40)


def arrays(pairs: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    columns = np.array(pairs).T
    return columns[0], columns[1]


@given(pairs_of_classes)
def test_classes_against_torchmetrics(pairs: list[tuple[int, int]]) -> None:
    said, right = arrays(pairs)
    p, y = torch.tensor(said), torch.tensor(right)
    assert accuracy(said, right) == pytest.approx(float((p == y).float().mean()))
    expected = oracle.f1_score(p, y, task="multiclass", num_classes=4, average="macro")
    assert macro_f1(said, right) == pytest.approx(float(expected), abs=1e-6)
    if len(set(said)) > 1 and len(set(right)) > 1:
        expected = oracle.matthews_corrcoef(p, y, task="multiclass", num_classes=4)
        assert matthews(said, right) == pytest.approx(float(expected), abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_two_classes_by_their_definitions(pairs: list[tuple[int, int]]) -> None:
    said, right = arrays(pairs)
    both, only_said, only_right = (pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1)))
    neither = pairs.count((0, 0))
    errors = only_said + only_right
    assert f1(said, right) == (2 * both / (2 * both + errors) if both else 0.0)
    root = (both + only_said) * (both + only_right) * (neither + only_said) * (neither + only_right)
    expected = (both * neither - only_said * only_right) / math.sqrt(root) if root else 0.0
    assert matthews(said, right) == pytest.approx(expected)


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 6), min_size=1, max_size=40))
def test_several_labels_against_torchmetrics(rows: list[tuple[int, ...]]) -> None:
    cells = np.array(rows)
    said, right = cells[:, :3], cells[:, 3:]
    p, y = torch.tensor(said), torch.tensor(right)
    assert f1(said, right) == pytest.approx(float(multilabel_f1_score(p, y, 3, average="micro")), abs=1e-6)
    assert macro_f1(said, right) == pytest.approx(float(multilabel_f1_score(p, y, 3, average="macro")), abs=1e-6)
    assert accuracy(said, right) == pytest.approx(np.mean([row[:3] == row[3:] for row in rows]))


ranked_rows = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7]), st.booleans()), min_size=2, max_size=30)


@given(ranked_rows)
def test_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[float, bool]]) -> None:
    said, right = np.array([[p] for p, _ in rows]), np.array([[y] for _, y in rows])
    positive, negative = said[right], said[~right]
    (found,) = auroc(said, right)
    if not len(positive) or not len(negative):
        assert math.isnan(found)
        return
    pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    assert found == pytest.approx(pairs.mean(), abs=1e-6)


@given(ranked_rows)
def test_average_precision_is_the_area_of_the_steps(rows: list[tuple[float, bool]]) -> None:
    said, right = np.array([[p] for p, _ in rows]), np.array([[y] for _, y in rows])
    (found,) = average_precision(said, right)
    if not right.any() or right.all():
        assert math.isnan(found)
        return
    area = before = 0.0
    for threshold in sorted({p for p, _ in rows}, reverse=True):
        above = right[said >= threshold]
        recall, precision = above.sum() / right.sum(), above.mean()
        area, before = area + (recall - before) * precision, recall
    assert found == pytest.approx(area, abs=1e-6)


@given(ranked_rows)
def test_no_threshold_has_a_better_f1(rows: list[tuple[float, bool]]) -> None:
    said, right = np.array([[p] for p, _ in rows]), np.array([[y] for _, y in rows])
    (found,) = best_thresholds(said, right)
    assert found not in said.ravel() or not right.any()
    tried = {threshold: f1(said >= threshold, right) for threshold in (0.05, 0.15, 0.35, 0.6, 0.8)}
    best = f1(said >= found, right)
    assert best == pytest.approx(max(tried.values())) if right.any() else found == 0.5


@given(pairs_of_scores)
def test_correlations_by_their_definitions(pairs: list[tuple[float, float]]) -> None:
    said, right = arrays(pairs)
    expected = np.corrcoef(said, right)[0, 1] if said.std() and right.std() else 0.0
    assert pearson(said, right) == pytest.approx(expected, abs=1e-9)
    ranks = [[sum(b < a for b in x) + (sum(b == a for b in x) + 1) / 2 for a in x] for x in (said, right)]
    expected = np.corrcoef(ranks[0], ranks[1])[0, 1] if said.std() and right.std() else 0.0
    assert spearman(said, right) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32)), min_size=5, max_size=30))
def test_correlations_against_torchmetrics(pairs: list[tuple[float, float]]) -> None:
    said, right = arrays(pairs)
    if min(said.std(), right.std()) < 1e-2:
        return
    p, y = torch.tensor(said, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    assert pearson(said, right) == pytest.approx(float(oracle.pearson_corrcoef(p, y)), abs=1e-5)
    assert spearman(said, right) == pytest.approx(float(oracle.spearman_corrcoef(p, y)), abs=1e-5)


def test_known_numbers() -> None:
    # 6 true and 1 false positives, 2 false and 3 true negatives: Wikipedia's example of Matthews' coefficient.
    right = np.array([1] * 8 + [0] * 4)
    said = np.array([0, 0] + [1] * 6 + [1] + [0] * 3)
    assert matthews(said, right) == pytest.approx(0.478, abs=5e-4)
    # Hours of television and IQ of ten people: Wikipedia's example of Spearman's coefficient, -29/165.
    iq = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    assert spearman(hours, iq) == pytest.approx(-29 / 165)


@pytest.mark.parametrize("metric", [matthews, pearson, spearman])
def test_a_constant_correlates_with_nothing(metric: object) -> None:
    varied, constant = np.array([0, 1, 1]), np.array([1, 1, 1])
    for said, right in ((constant, varied), (varied, constant), (constant, constant)):
        assert metric(said, right) == 0.0  # type: ignore[operator]


def test_nothing_found_is_zero() -> None:
    none = np.zeros(3, np.int64)
    assert f1(none, none) == 0.0
    assert macro_f1(none[:, None], none[:, None]) == 0.0


def test_the_table_has_every_problem() -> None:
    assert set(METRICS) == {"single_label", "multi_label", "regression"}
    assert METRICS["multi_label"]["micro_f1"] is f1
