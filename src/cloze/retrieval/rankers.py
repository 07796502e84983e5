"""What ranks the documents of a collection for queries: an embedding model, BM25, and a re-ranker after them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from cloze.data.tables.collection import Collection
from cloze.data.tables.examples import PairExample
from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Predictor
from cloze.metrics.ranking import Run, ranked
from cloze.retrieval.search import Found, top_k

DOCUMENTS_AT_ONCE = 4096
BM25 = {"k1": 0.9, "b": 0.4}
"""Anserini's, and so those of most published tables."""


def by_embeddings(
    embedder: Embedder, collection: Collection, queries: Mapping[str, str], depth: int
) -> dict[str, dict[str, float]]:
    """The best documents of each query by their embeddings, exactly; memory holds a block of documents.

    Args:
        embedder: with its prompts.
        collection: of the documents.
        queries: texts by their names.
        depth: documents of a query, at most.
    """
    names: list[str] = []

    def blocks() -> Iterator[np.ndarray]:
        documents = collection.documents()
        while part := list(islice(documents, DOCUMENTS_AT_ONCE)):
            names.extend(name for name, _ in part)
            texts = [text for _, text in part]
            yield embedder.comparable(embedder.embed(texts, prompt=embedder.passage_prompt))

    asked = embedder.comparable(embedder.embed([*queries.values()], prompt=embedder.query_prompt))
    # One more: a document that is the query itself is left out.
    found = top_k(asked, blocks(), depth + 1, device=embedder.inference.device)
    return _run(list(queries), names, found, depth)


def by_words(collection: Collection, queries: Mapping[str, str], depth: int) -> dict[str, dict[str, float]]:
    """The best documents of each query by BM25 (Robertson et al. 1994), with English stop words, all in memory.

    Raises:
        InputError: the package bm25s is not installed.
    """
    try:
        import bm25s
    except ModuleNotFoundError as error:
        raise InputError(
            "baseline=bm25 needs the package 'bm25s', which is not installed: pip install 'cloze-bert[retrieval]', "
            "or baseline=null"
        ) from error
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    names, texts = zip(*collection.documents(), strict=True)
    model = bm25s.BM25(**BM25)
    model.index(bm25s.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)
    asked = bm25s.tokenize([*queries.values()], stopwords="en", show_progress=False, return_ids=False)
    places, scores = model.retrieve(asked, k=min(depth + 1, len(names)), show_progress=False)
    found = Found(scores.astype(np.float32), places.astype(np.int64))
    return _run(list(queries), names, found, depth)


def reranked(
    predictor: Predictor[PairExample], collection: Collection, queries: Mapping[str, str], run: Run, top: int
) -> dict[str, dict[str, float]]:
    """The best documents of each query in the order of a re-ranker, and after them the others as they were.

    Args:
        predictor: of a re-ranker, whose predictions are scores.
        collection: of the documents.
        queries: texts by their names.
        run: that found the documents.
        top: documents of a query that are read together with it.
    """
    orders = {query: ranked(run.get(query, {})) for query in queries}
    read = {name for order in orders.values() for name in order[:top]}
    texts = {name: text for name, text in collection.documents() if name in read}
    if absent := next((name for name in sorted(read) if name not in texts), None):
        raise InputError(f"{collection.folder}: the run has the document {absent!r}, but the corpus does not")
    pairs = (
        PairExample(id=name, where=query, text=queries[query], positive=texts[name])
        for query, order in orders.items()
        for name in order[:top]
    )
    found: dict[str, dict[str, float]] = {query: {} for query in queries}
    while part := list(islice(pairs, DOCUMENTS_AT_ONCE)):
        for pair, said in zip(part, predictor.predict(part), strict=True):
            assert isinstance(said, dict)
            found[pair.where][pair.id] = said["prediction"]
    for query, scores in found.items():
        lowest = min(scores.values(), default=0.0)
        scores |= {name: lowest - rank for rank, name in enumerate(orders[query][top:], start=1)}
    return found


def _run(queries: Sequence[str], names: Sequence[str], found: Found, depth: int) -> dict[str, dict[str, float]]:
    """The scores by the names of queries and documents, without the query itself, as BEIR has it."""
    run = {}
    for query, scores, places in zip(queries, found.scores.tolist(), found.places.tolist(), strict=True):
        best = [(names[place], score) for score, place in zip(scores, places, strict=True) if place >= 0]
        run[query] = dict([pair for pair in best if pair[0] != query][:depth])
    return run
