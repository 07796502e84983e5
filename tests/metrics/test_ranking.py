"""Metrics of ranked lists against trec_eval, as ir_measures calls it, and against their definitions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.metrics.ranking import by_query, means, metric, ranked

THEIRS = {
    "AP": "map", "RR": "mrr", "P@1": "precision@1", "P@5": "precision@5", "R@1": "recall@1", "R@2": "recall@2",
    "R@100": "recall@100", "nDCG": "ndcg", "nDCG@2": "ndcg@2", "nDCG@10": "ndcg@10", "Success@1": "accuracy@1",
    "RR@10": "mrr@10",
}  # fmt: skip
"""Names of ir_measures and ours."""

documents = st.sampled_from("abcdefgh")
judged = st.dictionaries(documents, st.integers(-1, 3), min_size=1)
found = st.dictionaries(documents, st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def test_values_are_those_of_trec_eval(shared_data: Path) -> None:
    known = json.loads((shared_data / "fixtures" / "ir_measures.json").read_text())
    assert set(known["aggregate"]) == set(THEIRS)
    values = by_query(THEIRS.values(), known["qrels"], known["run"])
    for theirs, ours in THEIRS.items():
        expected = dict(known["per_query"][theirs])
        if theirs == "RR@10":  # from another library than RR, which ranks the tie of q3 the other way
            assert expected["q3"] == 1.0
            expected["q3"] = known["per_query"]["RR"]["q3"]
        assert values[ours] == pytest.approx(expected, abs=1e-12)
        assert means(values)[ours] == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)
        if theirs != "RR@10":
            assert means(values)[ours] == pytest.approx(known["aggregate"][theirs], abs=1e-12)


@given(judged, found, st.integers(1, 6))
def test_plain_statements(graded: dict[str, int], scores: dict[str, float], k: int) -> None:
    names = [f"{name}@{k}" for name in ("ndcg", "mrr", "map", "recall", "precision", "accuracy")]
    values = {name: each["q"] for name, each in by_query(names, {"q": graded}, {"q": scores}).items()}
    order = sorted(scores, key=lambda name: (scores[name], name))[::-1][:k]
    relevant = [name for name, grade in graded.items() if grade > 0]
    hits = [name in relevant for name in order]
    if not relevant:
        assert set(values.values()) == {0.0}
        return
    gains = [max(0, graded.get(name, 0)) for name in order]
    best = sorted((graded[name] for name in relevant), reverse=True)[:k]
    dcg, ideal = (sum(gain / math.log2(n + 2) for n, gain in enumerate(each)) for each in (gains, best))
    precisions = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
    assert values[f"ndcg@{k}"] == pytest.approx(dcg / ideal)
    assert values[f"mrr@{k}"] == (1 / (hits.index(True) + 1) if any(hits) else 0)
    assert values[f"map@{k}"] == pytest.approx(sum(precisions) / len(relevant))
    assert values[f"recall@{k}"] == pytest.approx(sum(hits) / len(relevant))
    assert values[f"precision@{k}"] == pytest.approx(sum(hits) / k)
    assert values[f"accuracy@{k}"] == any(hits)


def test_queries_that_the_run_lacks_count_zero_and_others_not_at_all() -> None:
    values = by_query(["recall@1"], {"q1": {"a": 1}, "q2": {"b": 1}}, {"q1": {"a": 0.1}, "q9": {"z": 1.0}})
    assert values == {"recall@1": {"q1": 1.0, "q2": 0.0}}
    assert means(values) == {"recall@1": 0.5}
    assert means(by_query(["map"], {}, {})) == {"map": 0.0}


def test_ties_are_in_descending_order_of_names() -> None:
    assert ranked({"2": 0.5, "10": 0.5, "a": 0.5, "Z": 0.7}) == ["Z", "a", "2", "10"]
    assert ranked({name: float(np.float32(0.1)) for name in ("x", "y")}) == ["y", "x"]


@pytest.mark.parametrize("name", ["nDCG@10", "ndcg@0", "ndcg@", "hits", "map@x", ""])
def test_what_is_no_metric_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no metric of ranked lists: expected one of ndcg, mrr"):
        metric(name)
