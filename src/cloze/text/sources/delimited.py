"""Rows of delimited text: CSV and TSV, from lines, with or without quotes.

By the module `csv`: `pyarrow.csv` counts rows instead of lines, does not say where a byte is that is not UTF-8, and
reads text behind a closing quote as if it stood before it.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Self

from cloze.errors import BadRowError

Quoting = Literal["auto", "none", "quotes"]


class Row(NamedTuple):
    """A row and the line it begins on (in Parquet and on the hub its number from 1); or what is wrong with it."""

    number: int
    cells: Sequence[object] | BadRowError


def delimited_rows(lines: Iterable[str | BadRowError], delimiter: str, *, quoting: Quoting, most: int) -> Iterator[Row]:
    """The rows of lines without their line feeds.

    Args:
        lines: text, or what is wrong with a line.
        delimiter: between two cells.
        quoting: whether cells may stand in double quotes (RFC 4180), and then hold delimiters, line breaks and doubled
            quotes; auto does so unless the delimiter is a tab or has several characters.
        most: characters in a cell.
    """
    quoted = quoting == "quotes" or (quoting == "auto" and delimiter != "\t" and len(delimiter) == 1)
    return _quoted_rows(lines, delimiter, most) if quoted else _plain_rows(lines, delimiter)


def _plain_rows(lines: Iterable[str | BadRowError], delimiter: str) -> Iterator[Row]:
    """Every line a row, every quote a character; only a line feed ends a line."""
    for number, line in enumerate(lines, start=1):
        yield Row(number, line if isinstance(line, BadRowError) else line.removesuffix("\r").split(delimiter))


class _CountedLines:
    """Lines for the module `csv`, which continues with the next one after an exception."""

    def __init__(self, lines: Iterable[str | BadRowError]) -> None:
        self.lines = iter(lines)
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        if isinstance(line, BadRowError):
            raise line
        return line + "\n"


def _quoted_rows(lines: Iterable[str | BadRowError], delimiter: str, most: int) -> Iterator[Row]:
    csv.field_size_limit(most)  # the module's own 128 KiB are less than a long document
    counted = _CountedLines(lines)
    reader = csv.reader(counted, delimiter=delimiter, strict=True)
    while True:
        first = counted.number + 1
        try:
            yield Row(first, next(reader))
        except StopIteration:
            return
        except BadRowError as bad:
            yield Row(counted.number, bad)
        except csv.Error as error:
            yield Row(first, BadRowError("quotes that do not fit", f"its quotes are not those of a CSV file ({error})"))
