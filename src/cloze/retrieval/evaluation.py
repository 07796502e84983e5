"""What an embedding model is worth: on a collection for search, or on a table of pairs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cloze.checkpoint.cross_encoder import is_cross_encoder
from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.schema import Embeddings
from cloze.data.finetuning.embedding import EmbeddingFeatures
from cloze.data.finetuning.pair_tables import PairTables
from cloze.data.tables.collection import Collection, judged, read_run, trec_lines
from cloze.data.tables.examples import PairExample
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference, Options, Predictor, checked_model
from cloze.inference.rebuild import fine_tuned
from cloze.metrics.ranking import Judgements, Run, by_query, means, metric, ranked
from cloze.optim.schedules import Linear
from cloze.report.markdown import plain, table
from cloze.report.split import write_report
from cloze.retrieval.rankers import by_embeddings, by_words, reranked
from cloze.run.folder import warn
from cloze.runtime.spinner import waiting
from cloze.tasks.embedding import Embedding
from cloze.tasks.training import Recipe

BM25, RERANKED = "bm25", "reranked"
"""Names of results."""
WORST = 50
"""Queries that are shown with what was found instead."""
LONGEST = 300
"""Characters of a text there."""
Scores = dict[str, dict[str, float]]


def evaluate(config: Embeddings) -> Scores:
    """Score a model, or a run, and write ``results.json`` and what it consists of.

    Args:
        config: the root of `conf/embed.yaml`.

    Returns:
        The metrics of the model, and of the baseline.

    Raises:
        InputError: for what only the data or the model can show to be wrong.
    """
    if config.data is None:
        raise InputError("evaluate needs data=: a folder as BEIR's, or a table of pairs")
    path = Path(config.data).expanduser()
    for name in config.metrics:
        metric(name)
    name = path.name if path.is_dir() else f"{path.resolve().parent.name}-{path.name.partition('.')[0]}"
    folder = Path(config.output or f"runs/evaluate/{name}")
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        results = _search(config, Collection(folder=path, split=config.split), folder)
    elif path.is_file():
        for key in ("run", "reranker"):
            if getattr(config, key) is not None:
                raise InputError(f"{key}= is of a collection for search: give data= its folder")
        results = {config.split: _pairs(config, path, folder)}
    else:
        raise InputError(f"data={config.data}: there is no such folder or file")
    write_atomically(folder / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    columns = dict.fromkeys(name for each in results.values() for name in each)
    rows = [[name, *(f"{each[name]:.4f}" if name in each else "" for each in results.values())] for name in columns]
    print(table(["metric", *results], rows) + f"\n{folder}/", flush=True)
    return results


def _embedder(config: Embeddings) -> Embedder:
    folder = checked_model(config.hardware, config.model)
    with waiting("reading the model"):
        return Embedder.read(
            folder, Inference.on(config.hardware), max_length=config.max_length, dimension=config.dimension
        )


def _search(config: Embeddings, collection: Collection, folder: Path) -> Scores:
    """The metrics of a collection, of the model or of a given run, and of BM25."""
    queries, judgements = judged(collection)
    reranker = None if config.reranker is None else _reranker(config, config.reranker)
    runs: dict[str, Run] = {}
    if BM25 in (config.run, config.baseline):
        with waiting("searching by BM25"):
            runs[BM25] = by_words(collection, queries, config.depth)
    best = BM25 if config.run == BM25 else config.split
    if config.run is None:
        embedder = _embedder(config)
        with waiting("embedding and searching"):
            runs = {best: by_embeddings(embedder, collection, queries, config.depth), **runs}
        _warn(embedder.counts)
        write_atomically(folder / "run.trec", trec_lines(runs[best], "cloze").encode())
    elif config.run != BM25:
        runs = {best: read_run(Path(config.run)), **runs}
    if reranker is not None:
        with waiting(f"re-ranking the best {config.rerank_top} documents of each query"):
            found = reranked(reranker, collection, queries, runs[best], config.rerank_top)
        _warn(reranker.counts)
        best, runs = RERANKED, {RERANKED: found, **runs}
        write_atomically(folder / f"{RERANKED}.trec", trec_lines(found, "cloze").encode())
    values = {name: by_query(config.metrics, judgements, run) for name, run in runs.items()}
    first = values[best][config.metrics[0]]
    page = worst_queries(first, config.metrics[0], runs[best], queries, judgements, collection)
    write_atomically(folder / "worst.md", page.encode())
    return {name: means(each) for name, each in values.items()}


def _reranker(config: Embeddings, folder: str) -> Predictor[PairExample]:
    """What scores pairs of a query and a document, by logits: a sigmoid rounds high ones to 1, and order is lost.

    Raises:
        InputError: the folder holds no re-ranker.
    """
    with waiting("reading the re-ranker"):
        found = read_pretrained(folder)
        if not is_cross_encoder(found.record):
            raise InputError(
                f"reranker={folder} holds a {found.title}: give a model of task=reranking, or a CrossEncoder"
            )
        return fine_tuned(found, Inference.on(config.hardware), Options(activation="identity"), None, ()).predictor


def _warn(counts: Mapping[str, int]) -> None:
    for told, count in counts.items():
        warn(f"{count:,} {told}")


def worst_queries(
    values: Mapping[str, float],
    name: str,
    run: Run,
    queries: Mapping[str, str],
    judgements: Judgements,
    collection: Collection,
) -> str:
    """The queries with the lowest values as a page: what should have been found, and what was.

    Args:
        values: of a metric, by query.
        name: of the metric.
        run: what was found.
        queries: their texts.
        judgements: what should have been.
        collection: with the texts of the documents.
    """
    worst = sorted(values, key=lambda query: values[query])[:WORST]
    wanted = {query: max(judgements[query], key=lambda name: judgements[query][name]) for query in worst}
    first = {query: next(iter(ranked(run.get(query, {}))), None) for query in worst}
    needed = {*wanted.values(), *first.values()}
    texts = {document: text for document, text in collection.documents() if document in needed}
    rows = [
        [
            f"{values[query]:.3f}",
            *(_short(text) for text in (queries[query], texts.get(wanted[query]), texts.get(first[query] or ""))),
        ]
        for query in worst
    ]
    head = [name, "query", "should have been found", "was found first"]
    return f"# The {len(worst)} queries with the lowest {name}\n\n{table(head, rows)}\n"


def _short(text: str | None) -> str:
    return "" if text is None else plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _pairs(config: Embeddings, file: Path, folder: Path) -> dict[str, float]:
    """The metrics of scored pairs, of triplets or of pairs in a table."""
    embedder = _embedder(config)
    examples = PairTables(test=str(file)).read("test")
    if not examples:
        raise InputError(f"{file}: has no row")
    features = EmbeddingFeatures(
        max_length=embedder.max_length,
        query_prompt=embedder.query_prompt,
        passage_prompt=embedder.passage_prompt,
    )
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=1)  # of a training that never comes
    module = Embedding(
        model=embedder.model, labels=[], recipe=recipe, similarity=embedder.similarity, dimension=embedder.dimension
    )
    items = features.items(examples, embedder.tokenizer, [])
    with waiting("embedding"):
        outputs = embedder.inference.outputs(items, lambda batch: module.outputs(batch))
    predictions: Sequence[dict[str, Any]] = module.predictions(examples, items, outputs)
    scores = module.metrics(examples, predictions)
    write_report(predictions, folder / "predictions", config.split, labels=[], metrics=scores)
    return scores
