"""`cloze-mine`: hard negatives, texts of a corpus that are near a query and do not belong to it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.config.searching import Mining
from cloze.data.finetuning.pair_tables import PairTables
from cloze.data.splitmix import key_of, permutation, stream
from cloze.data.tables.cells import text_of
from cloze.data.tables.columns import cell_of
from cloze.data.tables.formats import TableFormat
from cloze.data.tables.stream import stream_rows
from cloze.errors import BadRowError, InputError
from cloze.files.atomic import write_atomically
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference, checked_model
from cloze.retrieval.embedding_files import blocks_of, is_embedded, opened, refuse_other
from cloze.retrieval.search import Found, top_k
from cloze.run.folder import warn
from cloze.runtime.spinner import waiting

TEXTS_AT_ONCE = 4096
STREAM = 0x3149  # of this use of a seed


class Query(NamedTuple):
    """A text with all that is known to belong to it.

    Attributes:
        text: what is looked for.
        positives: in the order of the table.
    """

    text: str
    positives: tuple[str, ...]


def mine(config: Mining) -> None:
    """Write the queries of a table with hard negatives, as JSON lines that ``task=embedding`` reads.

    Args:
        config: the root of `conf/mine.yaml`.

    Raises:
        InputError: for what only the data or the model can show to be wrong.
    """
    if config.corpus is None:
        raise InputError("cloze-mine needs corpus=: a table of texts, or a file of cloze-embed")
    folder = checked_model(config.hardware, config.model)
    queries = queries_of(config.pairs)
    with waiting("reading the model"):
        found = read_pretrained(folder)
        embedder = Embedder.of(found, Inference.on(config.hardware), max_length=config.max_length)
    corpus = Corpus(Path(config.corpus), config.columns.text or "text", found, embedder)
    with waiting("embedding the queries"):
        asked, scores = _asked(queries, embedder)
    # Positives of the query, and its own text, stand among what is found, and are left out.
    depth = config.range_max + 1 + max(len(query.positives) for query in queries)
    with waiting("searching"):
        near = top_k(asked, corpus.blocks(), depth, device=embedder.inference.device)
        texts = corpus.texts({place for place in near.places.ravel().tolist() if place >= 0})
    lines, fewer = [], 0
    for number, query in enumerate(queries):
        candidates = candidates_of(query, near, number, texts)
        chosen = chosen_of(candidates, min(scores[number]), config, number)
        fewer += len(chosen) < config.negatives
        lines.append(_line(query, scores[number], chosen))
    write_atomically(Path(config.output), "".join(lines).encode())
    if fewer:
        warn(f"{fewer:,} of {len(queries):,} queries have fewer than {config.negatives} negatives by these rules")
    print(f"{config.output}: {len(queries):,} queries with negatives of {len(corpus):,} texts", flush=True)


def queries_of(file: str) -> list[Query]:
    """The queries of a table, each once.

    Raises:
        InputError: it has none.
    """
    positives: dict[str, dict[str, None]] = {}
    for example in PairTables(train=file).read("train"):
        positives.setdefault(example.text, {})[example.positive] = None
    if not positives:
        raise InputError(f"pairs={file}: has no pair")
    return [Query(text, tuple(of)) for text, of in positives.items()]


class Corpus:
    """The texts that negatives are taken from: a table, or a file of `cloze-embed`, whose embeddings are used again."""

    def __init__(self, path: Path, column: str, found: Pretrained, embedder: Embedder) -> None:
        self.path, self.column, self.embedder = path, column, embedder
        self._count = 0
        self.embedded = opened(self.path, key="corpus") if is_embedded(self.path) else None
        if self.embedded is not None:
            refuse_other(found, self.embedded[1], f"corpus={path}")

    def __len__(self) -> int:
        """Texts that have been searched."""
        return self._count

    def blocks(self) -> Iterator[np.ndarray]:
        """The embeddings, (B, D), such that dot products are similarities."""
        if self.embedded is not None:
            for block in blocks_of(*self.embedded):
                self._count += len(block)
                yield self.embedder.comparable(block)
            return
        rows = self._rows()
        while part := list(islice(rows, TEXTS_AT_ONCE)):
            self._count += len(part)
            yield self.embedder.comparable(self.embedder.embed(part, prompt=self.embedder.passage_prompt))

    def texts(self, places: set[int]) -> dict[int, str]:
        """The texts at places, in a second pass."""
        return {place: text for place, text in enumerate(self._rows()) if place in places}

    def _rows(self) -> Iterator[str]:
        for row in stream_rows(str(self.path), TableFormat()):
            try:
                yield text_of(cell_of(row.cells, self.column, "text"), "text")
            except BadRowError as bad:
                raise InputError(f"{row.where}: {bad}") from None


def _asked(queries: Sequence[Query], embedder: Embedder) -> tuple[np.ndarray, list[list[float]]]:
    """The embeddings of queries, (Q, D), and how similar each of their positives is."""
    asked = embedder.comparable(embedder.embed([query.text for query in queries], prompt=embedder.query_prompt))
    distinct = list(dict.fromkeys(text for query in queries for text in query.positives))
    found = embedder.comparable(embedder.embed(distinct, prompt=embedder.passage_prompt))
    place = {text: number for number, text in enumerate(distinct)}
    return asked, [
        [float(asked[number] @ found[place[text]]) for text in query.positives] for number, query in enumerate(queries)
    ]


def candidates_of(query: Query, near: Found, number: int, texts: Mapping[int, str]) -> list[tuple[str, float]]:
    """What was found for a query, best first, without itself, its positives and repetitions."""
    left_out = {query.text, *query.positives}
    found = []
    for score, place in zip(near.scores[number].tolist(), near.places[number].tolist(), strict=True):
        if place >= 0 and texts[place] not in left_out:
            left_out.add(texts[place])
            found.append((texts[place], score))
    return found


def chosen_of(
    candidates: Sequence[tuple[str, float]], positive: float, config: Mining, number: int
) -> list[tuple[str, float]]:
    """Those that the rules leave: of the ranks, below the margins, the first or some at random.

    Args:
        candidates: texts and their similarities, best first.
        positive: the similarity of the positive that is least similar.
        config: the rules.
        number: of the query, by which the random numbers are drawn.
    """
    highest = [float("inf") if config.max_score is None else config.max_score]
    if config.absolute_margin is not None:
        highest.append(positive - config.absolute_margin)
    if config.relative_margin is not None:
        highest.append(positive - abs(positive) * config.relative_margin)
    kept = [each for each in candidates[config.range_min : config.range_max] if each[1] <= min(highest)]
    if config.sampling == "random" and len(kept) > config.negatives:
        order = permutation(len(kept), stream(key_of(config.seed, STREAM, number)))
        kept = [kept[place] for place in sorted(order[: config.negatives].tolist())]
    return kept[: config.negatives]


def _line(query: Query, scores: Iterable[float], chosen: Sequence[tuple[str, float]]) -> str:
    row = {
        "query": query.text,
        "pos": list(query.positives),
        "neg": [text for text, _ in chosen],
        "pos_scores": [round(score, 6) for score in scores],
        "neg_scores": [round(score, 6) for _, score in chosen],
    }
    return json.dumps(row, ensure_ascii=False) + "\n"
