"""Documents from a column of a Parquet file, one per row, read by row groups."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloze.errors import InputError
from cloze.files.bounded import FREE_EXPANSION, ExpansionError, check_expansion, largest_expansion
from cloze.files.remote import RemotePath, location
from cloze.text.documents import Document, Unit, paragraphs
from cloze.text.sources.lines import BUFFER_BYTES

BATCH_ROWS = 256  # rows decoded at once: what bounds memory when row groups are large


def units(path: str, field: str) -> list[Unit]:
    """One unit for each row group that has rows.

    Raises:
        InputError: not a Parquet file, no such column, or a column that is not of strings.
    """
    with opened(path) as file:
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
        groups = [_leaves(file, index, [field]) for index in range(file.num_row_groups)]
        _check_declared(file, range(file.num_row_groups), [field])
        sizes = [sum(leaf.total_uncompressed_size for leaf in group if leaf.num_values) for group in groups]
    return [Unit(path, index, index + 1, size) for index, size in enumerate(sizes) if size]


def documents(unit: Unit, field: str, counts: Counter[str], *, skip_bad_rows: bool) -> Iterator[Document]:
    """One document for each row of the unit's row groups; its lines are the text's lines."""
    with opened(unit.path) as file:
        row = sum(file.metadata.row_group(index).num_rows for index in range(unit.start))
        for batch in bounded_batches(unit.path, file, range(unit.start, unit.end), BATCH_ROWS, columns=[field]):
            for value in batch.column(0):
                row += 1
                where = f"{unit.path}, row {row}"
                lines = _lines(value, where, counts, skip_bad_rows)
                if lines:
                    yield Document(lines, where)


def bounded_batches(
    path: str, file: pq.ParquetFile, groups: Sequence[int], rows: int, *, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of some row groups, and never many long ones at once.

    A value in a column's dictionary is stored once and may stand in every row; a run of one number takes no space.

    Args:
        path: of the file.
        file: the same, open.
        groups: numbers of row groups.
        rows: of a batch at most.
        columns: that are read; None reads all.

    Raises:
        ExpansionError: what comes out is out of proportion to what is stored.
    """
    _check_declared(file, groups, columns)
    packed = unpacked = 0
    for group in groups:
        leaves = _leaves(file, group, columns)
        packed += sum(leaf.total_compressed_size for leaf in leaves)
        longest, strings = 8, [leaf.path_in_schema for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        if strings:
            with opened(path, read_dictionary=strings, buffer_size=BUFFER_BYTES) as probe:
                longest = max(longest, _longest(next(probe.iter_batches(1, row_groups=[group], columns=columns))))
                most = unpacked + longest * sum(leaf.num_values for leaf in leaves)
                if most > largest_expansion(packed):  # it may be so much: count
                    most = unpacked
                    for batch in probe.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                        most += _unpacked(batch)
                        check_expansion(most, packed)
        at_once = max(1, min(rows, FREE_EXPANSION // longest))
        for batch in file.iter_batches(at_once, row_groups=[group], columns=columns):
            unpacked += batch.nbytes + 8 * batch.num_rows + _unpacked(batch)
            yield batch


def _leaves(file: pq.ParquetFile, group: int, columns: Sequence[str] | None) -> list[pq.ColumnChunkMetaData]:
    """What a row group holds of the columns, which may be nested."""
    about = file.metadata.row_group(group)
    leaves = [about.column(index) for index in range(about.num_columns)]
    return [leaf for leaf in leaves if columns is None or leaf.path_in_schema.partition(".")[0] in columns]


def _check_declared(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str] | None) -> None:
    """Hold against what is stored how much it will be at least, by what the file says of itself."""
    leaves = [leaf for group in groups for leaf in _leaves(file, group, columns)]
    least = max(8 * sum(leaf.num_values for leaf in leaves), sum(leaf.total_uncompressed_size for leaf in leaves))
    check_expansion(least, sum(leaf.total_compressed_size for leaf in leaves))


def _longest(batch: pa.RecordBatch) -> int:
    """Bytes of the longest string in the dictionaries of a batch; that of one row holds those of all rows."""
    lengths = (pc.max(pc.binary_length(column.dictionary)).as_py() for column in _dictionaries(batch.columns))
    return max((length or 0 for length in lengths), default=0)


def _unpacked(batch: pa.RecordBatch) -> int:
    """Bytes of all strings of a batch that stand in dictionaries."""
    lengths = (pc.binary_length(column.dictionary).take(column.indices) for column in _dictionaries(batch.columns))
    return sum(pc.sum(each).as_py() or 0 for each in lengths)


def _dictionaries(columns: Iterable[pa.Array]) -> Iterator[pa.DictionaryArray]:
    """The columns, and what is nested in them, that have a dictionary."""
    for column in columns:
        if isinstance(column, pa.DictionaryArray):
            yield column
        elif isinstance(column, pa.StructArray):
            yield from _dictionaries(column.flatten())
        elif isinstance(column, pa.MapArray):
            yield from _dictionaries([column.keys, column.items])
        elif hasattr(column, "flatten"):  # a list of any kind
            yield from _dictionaries([column.flatten()])


def _lines(value: pa.StringScalar, where: str, counts: Counter[str], skip: bool) -> list[str]:
    try:
        text = value.as_py() or ""
        if "\0" not in text:
            return paragraphs(text)
        kind, reason = "nul_lines", "holds NUL characters"
    except UnicodeDecodeError:
        kind, reason = "undecodable_lines", "is not UTF-8"
    if not skip:
        raise InputError(f"{where}: the text {reason}; fix it, or skip such rows with corpus.source.on_bad_line=skip")
    counts[kind] += 1
    return []


@contextmanager
def opened(path: str, **options: Any) -> Iterator[pq.ParquetFile]:
    """A Parquet file here or on an object store, with further options of `pyarrow.parquet.ParquetFile`.

    Raises:
        InputError: it cannot be read, now or later.
    """
    try:
        place = location(path)
        if isinstance(place, RemotePath):
            stream, buffer = place.open(), 0  # each buffer would be a request
        else:
            stream, buffer = path, BUFFER_BYTES  # without, whole column chunks would be read
        with pq.ParquetFile(stream, **{"pre_buffer": False, "buffer_size": buffer, **options}) as file:
            yield file
    except ExpansionError as error:
        raise InputError(f"{path}: {error}") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); write the file again") from error
