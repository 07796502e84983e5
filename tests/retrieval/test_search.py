"""Exact search against a plain sort of all products."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.retrieval import search
from cloze.retrieval.search import top_k


def plain(queries: np.ndarray, documents: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    products = queries @ documents.T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, order, axis=1), order


def cut(documents: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(documents, np.cumsum(sizes)[np.cumsum(sizes) < len(documents)])


@given(
    seed=st.integers(0, 1000),
    documents=st.integers(1, 40),
    queries=st.integers(1, 5),
    k=st.integers(1, 12),
    sizes=st.lists(st.integers(0, 15), max_size=6),
)
def test_is_a_stable_sort_of_all_products(seed: int, documents: int, queries: int, k: int, sizes: list[int]) -> None:
    draw = np.random.default_rng(seed)
    # Small whole numbers: products are exact, and most of them tie.
    asked, all_documents = (draw.integers(-2, 3, (n, 3)).astype(np.float32) for n in (queries, documents))
    scores, places = top_k(asked, cut(all_documents, sizes), k)
    expected_scores, expected_places = plain(asked, all_documents, k)
    found = min(k, documents)
    np.testing.assert_array_equal(places[:, :found], expected_places)
    np.testing.assert_array_equal(scores[:, :found], expected_scores)
    assert (places[:, found:] == -1).all()
    assert np.isneginf(scores[:, found:]).all()
    assert scores.dtype == np.float32
    assert places.dtype == np.int64
    assert scores.shape == places.shape == (queries, k)


def test_products_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    asked, documents = draw.normal(size=(50, 16)).astype(np.float32), draw.normal(size=(700, 16)).astype(np.float16)
    whole = top_k(asked, [documents], 10)
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 300)
    monkeypatch.setattr(search, "DOCUMENTS_AT_ONCE", 64)
    parts = top_k(asked, [documents], 10)
    np.testing.assert_array_equal(parts.places, whole.places)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)
    np.testing.assert_array_equal(whole.places, plain(asked, documents.astype(np.float32), 10)[1])


def test_without_documents_nothing_is_found() -> None:
    scores, places = top_k(np.ones((2, 3), np.float32), [], 4)
    assert np.isneginf(scores).all()
    assert (places == -1).all()


def test_what_is_no_number_is_refused() -> None:
    documents = np.ones((5, 3), np.float32)
    documents[3, 1] = np.nan
    with pytest.raises(InputError, match=r"document 3 \(from 0\)"):
        top_k(np.ones((1, 3), np.float32), cut(documents, [2, 3]), 2)
