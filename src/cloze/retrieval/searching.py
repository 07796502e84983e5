"""`cloze-search`: the texts of a file of embeddings that are nearest to a query."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.schema import Searching
from cloze.config.sections import model_folder
from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from cloze.retrieval.embedding_files import ROWS_AT_ONCE, blocks_of, opened, refuse_other
from cloze.retrieval.search import top_k
from cloze.runtime.spinner import waiting


def search(config: Searching, queries: list[str]) -> None:
    """Print the nearest texts of each query, one JSON object a line, best first.

    Args:
        config: the root of `conf/search.yaml`.
        queries: texts.

    Raises:
        InputError: there is no query, the file is none of `cloze-embed`, or another model made it.
    """
    if not queries:
        raise InputError("cloze-search needs query='what is looked for'")
    if config.top_k < 1:
        raise InputError(f"top_k={config.top_k}: must be at least 1")
    file, made = opened(Path(config.index), key="index")
    embedder = _embedder(config, made)
    asked = embedder.comparable(embedder.embed(queries, prompt=embedder.query_prompt))
    blocks = (embedder.comparable(block) for block in blocks_of(file, made))
    found = top_k(asked, blocks, config.top_k, device=embedder.inference.device)
    rows = rows_at(file, {place for place in found.places.ravel().tolist() if place >= 0})
    for query, scores, places in zip(queries, found.scores.tolist(), found.places.tolist(), strict=True):
        for rank, (score, place) in enumerate(zip(scores, places, strict=True), start=1):
            if place >= 0:
                said = {"query": query, "rank": rank, "score": round(score, 6), **rows[place]}
                print(json.dumps(said, ensure_ascii=False), flush=True)


def _embedder(config: Searching, made: dict[str, Any]) -> Embedder:
    """The model that made the embeddings.

    Raises:
        InputError: it is another one.
    """
    given = model_folder(config.model)
    folder = str(made["model"]) if given is None or given.folder == NOT_GIVEN else given.folder
    with waiting("reading the model"):
        found = read_pretrained(folder)
    refuse_other(found, made, f"index={config.index}")
    return Embedder.of(found, Inference.on(config.hardware), dimension=int(made["dimension"]))


NOT_GIVEN = ""
"""Of `model.folder`: the one that the index names."""


def rows_at(file: pq.ParquetFile, places: set[int]) -> dict[int, dict[str, Any]]:
    """The name and the text of the rows at these places."""
    found, begin = {}, 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=["id", "text"]):
        for place in places & {*range(begin, begin + len(batch))}:
            found[place] = {name: batch.column(name)[place - begin].as_py() for name in ("id", "text")}
        begin += len(batch)
    return found
