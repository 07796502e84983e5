"""`cloze-search`: the texts of a file of embeddings that are nearest to a query."""

import json
from pathlib import Path

from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.searching import Searching
from cloze.errors import InputError
from cloze.inference.predictor import Inference, checked_model
from cloze.retrieval.index import Index, model_of
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
    path = Path(config.index)
    folder = checked_model(config.hardware, config.model, unnamed=model_of(path))
    with waiting("reading the model"):
        found = read_pretrained(folder)
        index = Index(path, found, Inference.on(config.hardware))
    for query, hits in zip(queries, index.nearest(queries, config.top_k), strict=True):
        for rank, hit in enumerate(hits, start=1):
            said = {"query": query, "rank": rank, "score": round(hit.score, 6), "id": hit.id, "text": hit.text}
            print(json.dumps(said, ensure_ascii=False), flush=True)
