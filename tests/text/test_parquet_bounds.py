"""Parquet in bounds: dictionaries, pages and runs that expand are refused; all else comes out as pyarrow reads it."""

import resource
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.tables.formats import TableFormat
from cloze.data.tables.stream import stream_rows
from cloze.data.tables.table import read_table
from cloze.errors import InputError
from cloze.text.sources import parquet

MILLION = 1_000_000


def repeated(value: str, rows: int) -> pa.DictionaryArray:
    """A column that is as small here as in the file."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


def in_lists(value: str, rows: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), repeated(value, rows))


BOMBS: dict[str, Callable[[], pa.Table]] = {
    "a long text in a dictionary": lambda: pa.table({"text": repeated("x" * MILLION, MILLION)}),
    "short texts, very many": lambda: pa.table({"text": repeated("a short text", 9 * MILLION)}),
    "one number, very often": lambda: pa.table({"text": repeated("", 9 * MILLION)}),
    "pages": lambda: pa.table({"text": ["x" * (100 * MILLION)]}),
    "a list in a row": lambda: pa.table({"text": in_lists("x" * MILLION, MILLION)}),
}
READERS: dict[str, Callable[[str], object]] = {
    "a corpus": lambda path: [
        list(parquet.documents(unit, "text", Counter(), skip_bad_rows=False)) for unit in parquet.units(path, "text")
    ],
    "a table": lambda path: list(read_table(path, "train", TableFormat()).rows),
    "a stream": lambda path: deque(stream_rows(path, TableFormat()), maxlen=0),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_expands_is_refused(tmp_path: Path, bomb: str, reader: str) -> None:
    path = str(tmp_path / "bomb.parquet")
    pq.write_table(BOMBS[bomb](), path, compression="zstd")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = "is of type list" if (bomb, reader) == ("a list in a row", "a corpus") else "expands to more than 250 times"
    with pytest.raises(InputError, match=wrong):
        READERS[reader](path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


CELLS = st.none() | st.text(max_size=20)
ROW = st.tuples(CELLS, st.none() | st.lists(CELLS, max_size=3), st.integers(0, 3))


@given(st.lists(ROW, min_size=1, max_size=40), st.booleans(), st.integers(1, 50))
def test_all_else_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list, names: bool, size: int
) -> None:
    text, words, number = zip(*rows, strict=True)
    columns = {
        "text": pa.array(text, pa.string()),
        "nested": pa.array([{"words": cell} for cell in words], pa.struct([("words", pa.list_(pa.string()))])),
        "number": pa.array(number),
    }
    path = str(tmp_path_factory.mktemp("parquet") / "good.parquet")
    pq.write_table(pa.table(columns), path, use_dictionary=names, row_group_size=size)
    with parquet.opened(path) as file:
        found = [
            row
            for batch in parquet.bounded_batches(path, file, range(file.num_row_groups), 7)
            for row in batch.to_pylist()
        ]
    assert found == pq.read_table(path).to_pylist()


def test_long_texts_come_in_small_batches(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    texts = ["".join(map(chr, generator.integers(97, 123, 1 << 20))) for _ in range(8)]
    path = str(tmp_path / "long.parquet")
    pq.write_table(pa.table({"text": texts * 40}), path, dictionary_pagesize_limit=1 << 30)
    with parquet.opened(path) as file:
        sizes = [batch.num_rows for batch in parquet.bounded_batches(path, file, [0], 256)]
    assert sum(sizes) == 320
    assert max(sizes) == 64
