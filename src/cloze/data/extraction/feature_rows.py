"""The metadata of hidden states: row, tokens or words, and their offsets in the text. Arrow tables."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

from cloze.data.extraction.chunks import Chunk
from cloze.data.extraction.options import TOKEN_LEVELS, Level
from cloze.data.extraction.text_tokens import TextTokens
from cloze.data.extraction.vectors import NOWHERE, rows_of
from cloze.data.tables.columns import TextColumns

ROW, ID, LABEL = "row", "id", "label"
SPANS = pa.list_(pa.list_(pa.int32(), 2))


class RowTables:
    """Makes the table of each chunk, all with one schema."""

    def __init__(
        self, vocab: Sequence[str], columns: TextColumns, level: Level, *, special_tokens: bool, labelled: bool
    ) -> None:
        """Describe the columns.

        Args:
            vocab: tokens in the order of their ids.
            columns: of the input.
            level: what has a hidden state.
            special_tokens: whether those have one.
            labelled: whether the table has the column of labels.
        """
        self._vocab = pa.array(vocab, pa.string())
        self._columns = columns
        self._level = level
        self._special_tokens = special_tokens
        self._labelled = labelled

    def table(self, chunk: Chunk) -> pa.Table:
        """One row a text: its number in the input, then what there is.

        ``tokens`` or ``words``; ``offsets``, the first character and the end of each in its text; ``segments``, 1 for
        those of the second text; ``word_ids``, the word of each token where the text came in words, -1 for special
        tokens.
        """
        table = {ROW: pa.array(chunk.numbers, pa.int64())}
        if self._columns.id is not None:
            table[ID] = pa.array([row.id for row in chunk.rows], pa.string())
        if self._labelled:
            table[LABEL] = pa.array([row.label for row in chunk.rows], pa.string())
        if self._level == "token":
            table |= self._pieces(chunk.texts)
        elif self._level in TOKEN_LEVELS:
            table |= self._words(chunk)
        return pa.table(table)

    def _pieces(self, texts: Sequence[TextTokens]) -> dict[str, pa.Array]:
        chosen = [rows_of(text, "token", special_tokens=self._special_tokens)[0] != NOWHERE for text in texts]
        bounds = _bounds([int(which.sum()) for which in chosen])

        def column(name: str) -> np.ndarray:
            parts = [getattr(text, name)[which] for text, which in zip(texts, chosen, strict=True)]
            return np.concatenate(parts) if parts else np.zeros(0, np.int32)

        lists = {
            "tokens": pa.ListArray.from_arrays(bounds, self._vocab.take(pa.array(column("ids")))),
            "offsets": _spans(bounds, np.concatenate([np.zeros((0, 2), np.int32), column("offsets").reshape(-1, 2)])),
        }
        if self._columns.text_pair is not None:
            lists["segments"] = pa.ListArray.from_arrays(bounds, pa.array(column("segments").astype(np.int8)))
        if self._columns.words is not None:
            lists["word_ids"] = pa.ListArray.from_arrays(bounds, pa.array(column("words").astype(np.int32)))
        return lists

    def _words(self, chunk: Chunk) -> dict[str, pa.Array]:
        words: list[list[str]] = []
        spans, segments = [np.zeros((0, 2), np.int32)], [np.zeros(0, np.int8)]
        for row, text in zip(chunk.rows, chunk.texts, strict=True):
            rows, count = rows_of(text, "word")
            first = np.flatnonzero(rows != NOWHERE)
            last = np.append(first[1:], len(rows))[: len(first)] - 1
            while (between := text.words[last] != text.words[first]).any():  # [SEP] behind the last word of a segment
                last = last - between
            span = np.stack([text.offsets[first, 0], text.offsets[last, 1]], axis=1)
            spans.append(span)
            segments.append(text.segments[first])
            if isinstance(row.text, str):
                sources = (row.text, row.pair or "")
                places = zip(text.segments[first].tolist(), *span.T.tolist(), strict=True)
                words.append([sources[which][start:end] for which, start, end in places])
            else:
                words.append(list(row.text[:count]))  # a truncated text has not the last ones
        bounds = _bounds([len(row) for row in words])
        lists = {"words": pa.ListArray.from_arrays(bounds, pa.array(chain.from_iterable(words), pa.string()))}
        if self._columns.words is None:
            lists["offsets"] = _spans(bounds, np.concatenate(spans))
        if self._columns.text_pair is not None:
            lists["segments"] = pa.ListArray.from_arrays(bounds, pa.array(np.concatenate(segments)))
        return lists


def with_vectors(table: pa.Table, counts: np.ndarray | None, vectors: dict[str, np.ndarray]) -> pa.Table:
    """The table with a column for each result: an embedding a text, or a list of them.

    Args:
        table: of the texts.
        counts: (texts,) rows of each; None for one.
        vectors: (R, width) by name.
    """
    for name, array in vectors.items():
        flat = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
        column = flat if counts is None else pa.ListArray.from_arrays(_bounds(counts), flat)
        table = table.append_column(name, column)
    return table


def with_places(table: pa.Table, counts: np.ndarray | None, start: int) -> pa.Table:
    """The table with where each text's hidden states begin in the array, and how many there are."""
    sizes = np.ones(table.num_rows, np.int64) if counts is None else counts
    table = table.append_column("start", pa.array(start + np.cumsum(sizes) - sizes))
    return table.append_column("count", pa.array(sizes))


def _bounds(counts: Sequence[int] | np.ndarray) -> pa.Array:
    return pa.array(np.cumsum([0, *counts]), pa.int32())


def _spans(bounds: pa.Array, spans: np.ndarray) -> pa.Array:
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(spans.reshape(-1).astype(np.int32)), 2)
    return pa.ListArray.from_arrays(bounds, pairs)
