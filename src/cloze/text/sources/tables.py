"""Documents from a column of CSV and TSV files, one per row, read as a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from cloze.errors import BadRowError, InputError
from cloze.text.documents import Document, Unit, paragraphs
from cloze.text.sources.delimited import Quoting, Row, delimited_rows
from cloze.text.sources.lines import LineDecoder, open_text, raw_lines


@dataclass(frozen=True, kw_only=True)
class TextColumn:
    """A column of text.

    Attributes:
        field: its name, or its number from 0.
        delimiter: between two cells.
        quoting: see `delimited_rows`.
        header: whether the first row names the columns.
    """

    field: str | int
    delimiter: str
    quoting: Quoting
    header: bool

    def check(self, path: str, decoder: LineDecoder) -> None:
        """Refuse a file that has no such column.

        Raises:
            InputError: as it says, or the file has no row.
        """
        with open_text(path) as stream:
            self._find(path, self._rows(stream, decoder))

    def documents(self, stream: BinaryIO, unit: Unit, decoder: LineDecoder) -> Iterator[Document]:
        """One document for each row."""
        rows = self._rows(stream, decoder)
        column, first = self._find(unit.path, rows)
        header = list(first.cells) if self.header and not isinstance(first.cells, BadRowError) else None
        width = len(first.cells) if not isinstance(first.cells, BadRowError) else 0
        for row in rows if self.header else chain([first], rows):
            where = f"{unit.path}, line {row.number}"
            if isinstance(row.cells, BadRowError):
                if row.cells.kind:
                    decoder.refuse("malformed_lines", f"the row cannot be read, since {row.cells}", where)
            elif len(row.cells) == width:
                if list(row.cells) == header and width > 1:
                    decoder.counts["repeated_headers"] += 1  # of files that were joined
                elif lines := paragraphs(str(row.cells[column])):
                    yield Document(lines, where)
            elif any(row.cells):
                reason = f"the first line has {width} columns, this row has {len(row.cells)}"
                decoder.refuse("malformed_lines", reason, where)

    def _rows(self, stream: BinaryIO, decoder: LineDecoder) -> Iterator[Row]:
        def lines() -> Iterator[str | BadRowError]:
            for line in raw_lines(stream, 0, decoder.max_line_bytes):
                text = decoder.text(line)
                yield BadRowError("", "it is counted") if text is None else text.removesuffix("\n")

        return delimited_rows(lines(), self.delimiter, quoting=self.quoting, most=decoder.max_line_bytes)

    def _find(self, path: str, rows: Iterator[Row]) -> tuple[int, Row]:
        """The number of the column, and the first row, which names the columns or has a text."""
        first = next(rows, None)
        if first is None:
            raise InputError(f"{path}: is empty; choose other corpus.files")
        if isinstance(first.cells, BadRowError):
            raise InputError(
                f"{path}, line 1: the first row cannot be read, since {first.cells}; choose other corpus.files"
            )
        names = [str(cell).strip() for cell in first.cells]
        if self.header and self.field in names:
            return names.index(str(self.field)), first
        if isinstance(self.field, int) and 0 <= self.field < len(names):
            return self.field, first
        there = ", ".join(map(repr, names)) if self.header else f"numbers from 0 to {len(names) - 1}"
        raise InputError(
            f"{path}: has no column {self.field!r} (columns: {there}); choose one with corpus.source.field"
        )
