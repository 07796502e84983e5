"""Stream rows of a file or of standard input, in bounded memory."""

import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any, BinaryIO, Literal, NamedTuple

import pyarrow as pa

from cloze.data.tables.formats import (
    BLANK,
    DELIMITERS,
    STANDARD_INPUT,
    Format,
    TableFormat,
    json_line,
    json_object,
    of_width,
)
from cloze.errors import BadRowError, InputError
from cloze.text.sources.delimited import Row
from cloze.text.sources.json_rows import document_rows, head_of, is_document
from cloze.text.sources.lines import RawLine, open_text, raw_lines
from cloze.text.sources.parquet import bounded_batches, opened

LONGEST_LINE = 16 << 20  # bytes of a line, characters of a cell: what one row may take of the memory
ROWS_AT_ONCE = 64  # of Parquet


class StreamRow(NamedTuple):
    """A row of the input.

    Attributes:
        number: from 0, counting every row that is not blank, bad ones included.
        where: it stands, for messages: ``reviews.jsonl, line 7``.
        cells: by the names of the columns; ``text`` is the line of a text, ``words`` its words. The columns of a CSV
            or TSV file without a header are named ``0``, ``1`` and so on.
    """

    number: int
    where: str
    cells: dict[str, Any]


class _Found(NamedTuple):
    """A row that is not blank, its line (in Parquet and in documents of JSON its number) from 1; or what is wrong."""

    place: int
    cells: dict[str, Any] | BadRowError
    unit: str = "line"


def stream_rows(
    path: str,
    layout: TableFormat,
    *,
    skip: int = 0,
    on_bad_row: Literal["stop", "skip"] = "stop",
    counts: Counter[str] | None = None,
) -> Iterator[StreamRow]:
    """The rows of an input that are not blank, in their order.

    Args:
        path: of the file; ``-`` is standard input.
        layout: how it is written.
        skip: this many rows at the beginning, good or bad, are passed over.
        on_bad_row: ``stop``, or ``skip`` rows that cannot be read.
        counts: where skipped rows are counted by what is wrong with them, as ``lines that are not JSON``.

    Raises:
        InputError: the input cannot be read, or one of its rows.
    """
    name = "standard input" if path == STANDARD_INPUT else path
    form = layout.of(path)
    with closing(_parquet(path, skip) if form == "parquet" else _lines(path, form, layout)) as found:
        following = found if form == "parquet" else islice(found, skip, None)
        for number, row in enumerate(following, start=skip):
            where = f"{name}, {row.unit} {row.place}"
            if isinstance(row.cells, BadRowError):
                leave_out(row.cells, where, on_bad_row, Counter() if counts is None else counts)
            else:
                yield StreamRow(number, where, row.cells)


def leave_out(bad: BadRowError, where: str, on_bad_row: Literal["stop", "skip"] | None, counts: Counter[str]) -> None:
    """Counts a bad row that is to be skipped.

    Args:
        bad: what is wrong with it.
        where: it stands.
        on_bad_row: None stops, too, and knows no other way.
        counts: by what is wrong.

    Raises:
        InputError: bad rows are not to be skipped.
    """
    if on_bad_row != "skip":
        raise InputError(f"{where}: {bad}{'; on_bad_row=skip leaves such rows out' if on_bad_row else ''}")
    counts[bad.kind] += 1


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path != STANDARD_INPUT:
        with open_text(path) as stream:
            yield stream
        return
    if sys.stdin is None:
        raise InputError("input=-: standard input is closed; give it a file or a pipe, or name a file with input=")
    yield sys.stdin.buffer


def _lines(path: str, form: Format, layout: TableFormat) -> Generator[_Found]:
    with _opened(path) as stream:
        if form == "jsonl" and is_document(head_of(stream)):
            for place, value in enumerate(document_rows(stream, path), start=1):
                yield _Found(place, json_object(value), "row")
            return
        lines = map(_decoded, raw_lines(stream, 0, LONGEST_LINE))
        if form in ("csv", "tsv"):
            yield from _table(path, lines, form, layout)
            return
        for place, line in enumerate(lines, start=1):
            if isinstance(line, BadRowError):
                yield _Found(place, line)
            elif not line or line.isspace():
                continue
            elif form == "jsonl":
                yield _Found(place, json_line(line))
            else:
                yield _Found(place, {"words": line.split()} if form == "words" else {"text": line.removesuffix("\r")})


def _decoded(line: RawLine) -> str | BadRowError:
    """The text of a line without its line feed."""
    if not line.complete:
        return BadRowError("overlong lines", f"is longer than {LONGEST_LINE:,} bytes")
    if b"\0" in line.content:
        return BadRowError("lines with NUL bytes", "holds a NUL byte, so this is hardly a text")
    try:
        return line.content.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        wrong = line.content[error.start]
        return BadRowError("lines that are not UTF-8", f"is not UTF-8 (byte {wrong:#04x}); convert the file with iconv")


def _table(path: str, lines: Iterable[str | BadRowError], form: Format, layout: TableFormat) -> Iterator[_Found]:
    rows = layout.rows(lines, DELIMITERS[f".{form}"], most=LONGEST_LINE)
    columns = _header(path, rows) if layout.header else []
    for row in rows:
        if not isinstance(row.cells, BadRowError):
            if len(row.cells) < 2 and not any(str(cell).strip() for cell in row.cells):
                continue
            columns = columns or [str(number) for number in range(len(row.cells))]
        place, cells = of_width(row, len(columns))
        if cells is not BLANK:
            yield _Found(place, cells if isinstance(cells, BadRowError) else dict(zip(columns, cells, strict=True)))


def _header(path: str, rows: Iterator[Row]) -> list[str]:
    name = "standard input" if path == STANDARD_INPUT else path
    first = next(rows, None)
    if first is None:
        raise InputError(f"{name}: is empty; the first line of a table names its columns, or else set header=false")
    if isinstance(first.cells, BadRowError):
        raise InputError(f"{name}, line {first.number}: {first.cells}; fix it, or set quoting=none")
    columns = [str(cell).strip() for cell in first.cells]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise InputError(f"{name}: has several columns of the name {twice[0]!r}; rename all but one")
    return columns


def _parquet(path: str, skip: int) -> Generator[_Found]:
    if path == STANDARD_INPUT:
        raise InputError("standard input: Parquet cannot be read from a pipe; give input=FILE")
    with opened(path) as file:
        groups, passed = list(range(file.num_row_groups)), 0
        while groups and passed + file.metadata.row_group(groups[0]).num_rows <= skip:
            passed += file.metadata.row_group(groups.pop(0)).num_rows
        for batch in bounded_batches(path, file, groups, ROWS_AT_ONCE):
            for place, cells in enumerate(_cells(batch), start=passed + 1):
                if place > skip:
                    yield _Found(place, cells, "row")
            passed += batch.num_rows


def _cells(batch: pa.RecordBatch) -> list[dict[str, Any] | BadRowError]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        return [_row(batch, number) for number in range(batch.num_rows)]


def _row(batch: pa.RecordBatch, number: int) -> dict[str, Any] | BadRowError:
    try:
        row: dict[str, Any] = batch.slice(number, 1).to_pylist()[0]
        return row
    except UnicodeDecodeError:
        return BadRowError("rows that are not UTF-8", "is not UTF-8")
