"""Rows of tables: CSV, TSV, JSON and Parquet files, and data sets of the Hugging Face hub."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import pyarrow as pa

from cloze.data.tables.formats import DELIMITERS, JSON_SUFFIXES, TableFormat, json_line, json_object, of_width
from cloze.errors import BadRowError, InputError
from cloze.text.sources.delimited import Row
from cloze.text.sources.hub import open_dataset
from cloze.text.sources.json_rows import document_rows, head_of, is_document
from cloze.text.sources.lines import endings, open_text
from cloze.text.sources.parquet import bounded_batches, opened

HUB = "hub:"
HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
ROWS_AT_ONCE = 4096  # of Parquet
MOST_CHARACTERS = min(sys.maxsize, 2**31 - 1)
TABLE_DELIMITERS = {**DELIMITERS, ".txt": "\t"}


class Table(NamedTuple):
    """A table as it is read.

    Attributes:
        name: of the file or of the data set.
        columns: their names; none in a file without a header.
        width: number of columns.
        rows: in their order; every one has `width` cells, text from CSV and TSV, anything from the other formats.
        unit: what the rows' numbers count, ``line`` or ``row``.
    """

    name: str
    columns: tuple[str, ...]
    width: int
    rows: Iterator[Row]
    unit: str = "line"


def is_hub(path: str) -> bool:
    """Whether `path` names a data set of the hub, as ``hub:NAME[:CONFIG[:SPLIT]]``."""
    return path.startswith(HUB)


def read_table(path: str, split: str, layout: TableFormat) -> Table:
    """The table in a file, by its suffix; all but Parquet may be compressed (``.gz``, ``.xz``, ``.zst``).

    Args:
        path: of the file, or ``hub:NAME[:CONFIG[:SPLIT]]``.
        split: ``train``, ``dev`` or ``test``, which names the split of the hub where `path` does not.
        layout: of CSV and TSV files.

    Raises:
        InputError: the file cannot be read as such a table.
    """
    if is_hub(path):
        return _hub_table(path, split)
    suffix = endings(path)[0]
    if suffix == ".parquet":
        return _parquet_table(path)
    if suffix in JSON_SUFFIXES:
        return _json_table(path)
    delimiter = TABLE_DELIMITERS.get(suffix)
    if delimiter is None and layout.delimiter == "auto":
        known = ", ".join([*TABLE_DELIMITERS, *JSON_SUFFIXES, ".parquet"])
        raise InputError(f"{path}: its suffix is none of {known}; rename the file or set task.data.delimiter")
    text = _text(path)
    rows = layout.rows(text.split("\n") if text else [], delimiter or layout.delimiter, most=MOST_CHARACTERS)
    return _delimited_table(path, rows, header=layout.header)


def _text(path: str) -> str:
    with open_text(path) as stream:
        return text_in(path, stream.read())


def text_in(path: str, content: bytes) -> str:
    """The content of a file, checked to be text, without a byte-order mark and the line feeds at its end.

    Raises:
        InputError: it is not UTF-8, or holds a NUL byte.
    """
    if (place := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, place) + 1
        raise InputError(f"{path}, line {line}: holds a NUL byte; a table is UTF-8 text: write the file again")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
    return text.removeprefix("\ufeff").rstrip("\r\n")


def _delimited_table(path: str, rows: Iterator[Row], *, header: bool) -> Table:
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: is empty")
    if isinstance(first.cells, BadRowError):
        raise InputError(f"{path}, line {first.number}: {first.cells}; fix it, or set task.data.quoting=none")
    width = len(first.cells)
    following = (of_width(row, width) for row in rows)
    if header:
        return under_header(Table(path, (), width, following), first.cells)
    return Table(path, (), width, itertools.chain([first], following))


def under_header(table: Table, header: Sequence[object]) -> Table:
    """A table with the names of its columns, which are no row again where files with headers were joined."""

    def rows() -> Iterator[Row]:
        for row in table.rows:
            if table.width > 1 and not isinstance(row.cells, BadRowError) and list(row.cells) == list(header):
                yield Row(row.number, BadRowError("repeated headers", "repeats the header of the first line"))
            else:
                yield row

    return table._replace(columns=tuple(str(cell).strip() for cell in header), rows=rows())


def _json_table(path: str) -> Table:
    """The columns are all the keys of all the objects, a key that is absent from one is null there."""
    with open_text(path) as stream:
        unit = "row" if is_document(head_of(stream)) else "line"
        found = [json_object(value) for value in document_rows(stream, path)] if unit == "row" else None
    found = [json_line(line) for line in _text(path).split("\n")] if found is None else found
    columns = tuple(dict.fromkeys(key for row in found if isinstance(row, dict) for key in row))
    if not columns:
        raise InputError(f"{path}: has no JSON object; write one object a line, or a list of objects")
    rows = (row if isinstance(row, BadRowError) else [row.get(key) for key in columns] for row in found)
    return Table(path, columns, len(columns), itertools.starmap(Row, enumerate(rows, start=1)), unit=unit)


def _parquet_table(path: str) -> Table:
    with opened(path) as file:
        batches = list(bounded_batches(path, file, range(file.num_row_groups), ROWS_AT_ONCE))
        table = pa.Table.from_batches(batches, file.schema_arrow)
        table.validate(full=True)  # that strings are UTF-8, too
    return _arrow_table(path, table)


def _arrow_table(name: str, table: pa.Table) -> Table:
    def rows() -> Iterator[Row]:
        numbers = count(1)
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            columns = (column.to_pylist() for column in batch.columns)
            for cells in zip(*columns, strict=True):
                yield Row(next(numbers), cells)

    return Table(name, tuple(table.column_names), table.num_columns, rows(), unit="row")


def _hub_table(path: str, split: str) -> Table:
    name, subset, stated = [*path.removeprefix(HUB).split(":"), "", ""][:3]
    kind, underscore, variant = split.partition("_")  # dev_matched is validation_matched
    split = stated or HUB_SPLITS[kind] + underscore + variant
    found = open_dataset(name, path, "expected hub:NAME[:CONFIG[:SPLIT]]", name=subset or None, split=split)
    table: pa.Table = found.with_format("arrow")[:]
    from datasets import ClassLabel

    for place, (column, feature) in enumerate(found.features.items()):
        inner = getattr(feature, "feature", None)  # of a list
        values = table[column].to_pylist() if isinstance(feature, ClassLabel) or isinstance(inner, ClassLabel) else None
        if values is None:
            continue
        if isinstance(feature, ClassLabel):
            named = pa.array([_class_name(feature, number) for number in values], pa.string())
        else:  # the tags of words
            rows = [None if row is None else [_class_name(inner, number) for number in row] for row in values]
            named = pa.array(rows, pa.list_(pa.string()))
        table = table.set_column(place, column, named)
    return _arrow_table(path, table)


def _class_name(feature: Any, number: int | None) -> str | None:
    """Numbers there, names here; -1 is the hub's "unlabelled"."""
    return None if number is None or number < 0 else feature.names[number]
