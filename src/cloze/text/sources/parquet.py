"""Documents of a column of a Parquet file, one a row, read by row groups."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from cloze.errors import InputError
from cloze.text.documents import Document, Unit
from cloze.text.remote import RemotePath, location

BATCH_ROWS = 256  # rows decoded at once: what bounds memory when row groups are large


def units(path: str, field: str) -> list[Unit]:
    """One unit for each row group that has rows.

    Raises:
        InputError: not a Parquet file, no such column, or a column that is not of strings.
    """
    with _opened(path) as file:
        columns = file.schema_arrow
        if field not in columns.names:
            there = ", ".join(map(repr, columns.names))
            raise InputError(f"{path}: has no column {field!r} (columns: {there}); choose one with corpus.source.field")
        kind = columns.field(field).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(
                f"{path}: the column {field!r} is of type {kind}, not string; choose another with corpus.source.field"
            )
        groups = (file.metadata.row_group(index) for index in range(file.num_row_groups))
        sizes = [_column_bytes(group, field) if group.num_rows else 0 for group in groups]
    return [Unit(path, index, index + 1, size) for index, size in enumerate(sizes) if size]


def documents(unit: Unit, field: str, counts: Counter[str], *, skip_bad_rows: bool) -> Iterator[Document]:
    """One document for each row of the unit's row groups; its lines are the text's lines."""
    with _opened(unit.path) as file:
        row = sum(file.metadata.row_group(index).num_rows for index in range(unit.start))
        for batch in file.iter_batches(BATCH_ROWS, row_groups=list(range(unit.start, unit.end)), columns=[field]):
            for value in batch.column(0):
                row += 1
                where = f"{unit.path}, row {row}"
                lines = _lines(value, where, counts, skip_bad_rows)
                if lines:
                    yield Document(lines, where)


def _lines(value: pa.StringScalar, where: str, counts: Counter[str], skip: bool) -> list[str]:
    try:
        text = value.as_py() or ""
        if "\0" not in text:
            return [stripped for line in text.split("\n") if (stripped := line.strip())]
        kind, reason = "nul_lines", "holds NUL characters"
    except UnicodeDecodeError:
        kind, reason = "undecodable_lines", "is not UTF-8"
    if not skip:
        raise InputError(f"{where}: the text {reason}; mend it, or skip such rows with corpus.source.on_bad_line=skip")
    counts[kind] += 1
    return []


def _column_bytes(group: pq.RowGroupMetaData, field: str) -> int:
    columns = (group.column(index) for index in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == field)


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    try:
        place = location(path)
        opened = place.open() if isinstance(place, RemotePath) else path
        with pq.ParquetFile(opened, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as Parquet ({error}); write the file again or choose other corpus.files"
        ) from error
