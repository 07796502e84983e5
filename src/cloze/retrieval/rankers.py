"""What ranks the documents of a collection for queries: an embedding model, or BM25."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.retrieval.collection import Collection
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


def _run(queries: Sequence[str], names: Sequence[str], found: Found, depth: int) -> dict[str, dict[str, float]]:
    """The scores by the names of queries and documents, without the query itself, as BEIR has it."""
    run = {}
    for query, scores, places in zip(queries, found.scores.tolist(), found.places.tolist(), strict=True):
        best = [(names[place], score) for score, place in zip(scores, places, strict=True) if place >= 0]
        run[query] = dict([pair for pair in best if pair[0] != query][:depth])
    return run
