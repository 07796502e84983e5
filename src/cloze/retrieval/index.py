"""A file of `cloze-embed` that is searched, with the model that made it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from cloze.checkpoint.pretrained import Pretrained
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from cloze.retrieval.embedding_files import blocks_of, opened, refuse_other
from cloze.retrieval.search import top_k

MOST_HELD = 1 << 30
"""Bytes of embeddings that are kept between searches; those of larger files are read for each."""


class Hit(NamedTuple):
    """A text that is found, its name, and how similar it is to the query."""

    score: float
    id: str
    text: str


class Index:
    """The embeddings and texts of a file.

    Args:
        path: of the file.
        found: the model that made it.
        inference: how the model is applied.
        held: embeddings are kept in memory, up to ``MOST_HELD`` bytes, for many searches.

    Attributes:
        embedder: of queries.

    Raises:
        InputError: the file is none of `cloze-embed`, or another model made it.
    """

    def __init__(self, path: Path, found: Pretrained, inference: Inference, *, held: bool = False) -> None:
        self.path = path
        self.file, self.made = opened(path, key="index")
        refuse_other(found, self.made, f"index={path}")
        self.embedder = Embedder.of(found, inference, dimension=int(self.made["dimension"]))
        is_small = 4 * len(self) * self.embedder.dimension <= MOST_HELD
        self._held = list(self._blocks()) if held and is_small else None

    def __len__(self) -> int:
        """Its texts."""
        return int(self.file.metadata.num_rows)

    def nearest(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The k nearest texts of each query, best first; each of them is compared."""
        embedder = self.embedder
        asked = embedder.comparable(embedder.embed(queries, prompt=embedder.query_prompt))
        blocks: Iterable[np.ndarray] = self._blocks() if self._held is None else self._held
        scores, places = top_k(asked, blocks, k, device=embedder.inference.device)
        rows = rows_at(self.file, {place for place in places.ravel().tolist() if place >= 0})
        return [
            [Hit(score, **rows[place]) for score, place in zip(*pair, strict=True) if place >= 0]
            for pair in zip(scores.tolist(), places.tolist(), strict=True)
        ]

    def _blocks(self) -> Iterator[np.ndarray]:
        return (self.embedder.comparable(block) for block in blocks_of(self.file, self.made))


def model_of(path: Path) -> str:
    """The folder of the model that made a file, as it was given then.

    Raises:
        InputError: the file is none of `cloze-embed`.
    """
    return str(opened(path, key="index")[1]["model"])


def rows_at(file: pq.ParquetFile, places: set[int]) -> dict[int, dict[str, Any]]:
    """The name and the text of the rows at these places; only the groups of rows that hold one are read."""
    found: dict[int, dict[str, Any]] = {}
    begin = 0
    for number in range(file.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        if inside := [place for place in places if begin <= place < end]:
            group = file.read_row_group(number, columns=["id", "text"])
            found |= {place: {name: group[name][place - begin].as_py() for name in ("id", "text")} for place in inside}
        begin = end
    return found
