"""Formats of tables: by suffix, with the quoting of CSV and TSV, and JSON rows."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cloze.errors import BadRowError, InputError
from cloze.files.bounded import parse_json
from cloze.runtime.wording import counted
from cloze.text.sources.delimited import Quoting, Row, delimited_rows
from cloze.text.sources.lines import endings

Format = Literal["auto", "text", "words", "csv", "tsv", "jsonl", "parquet"]
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys(JSON_SUFFIXES, "jsonl"),
    ".parquet": "parquet",
}
DELIMITERS = {".csv": ",", ".tsv": "\t"}
STANDARD_INPUT = "-"
BLANK = BadRowError("blank lines", "is blank")


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    r"""How a table is written.

    Attributes:
        format: auto goes by the suffix, before ``.gz``, ``.xz`` or ``.zst``, and takes standard input as text. Text is
            one text a line; words are one text a line, split at its spaces.
        delimiter: between two cells of CSV and TSV; auto takes a comma in ``.csv`` and a tab in ``.tsv`` files. A tab
            may be spelled ``\t``; several characters go with cells that are not quoted.
        quoting: whether cells may stand in double quotes (RFC 4180), and then hold delimiters, line breaks and doubled
            quotes; auto does so unless the delimiter is a tab. The files of GLUE have stray quotes and no quoting.
        header: whether the first row names the columns.
    """

    format: Format = "auto"
    delimiter: str = "auto"
    quoting: Quoting = "auto"
    header: bool = True

    def __post_init__(self) -> None:
        delimiter = self.delimiter.replace("\\t", "\t")
        if (
            not delimiter
            or set(delimiter) & set('"\r\n')
            or (self.quoting == "quotes" and len(delimiter) > 1 and delimiter != "auto")
        ):
            raise InputError(
                f"delimiter={self.delimiter!r}: expected auto, or what stands between two cells, as ';' or '\\t'; one"
                " character where cells are quoted"
            )
        object.__setattr__(self, "delimiter", delimiter)

    def of(self, path: str) -> Format:
        """The format of a file.

        Raises:
            InputError: its suffix does not tell.
        """
        if self.format != "auto":
            return self.format
        if path == STANDARD_INPUT:
            return "text"
        found = FORMATS.get(endings(path)[0])
        if found is None:
            known = ", ".join(FORMATS)
            raise InputError(f"{path}: its suffix is none of {known}; say what it is with format=text or another")
        return found

    def rows(self, lines: Iterable[str | BadRowError], delimiter: str, *, most: int) -> Iterator[Row]:
        """The rows of lines without their line feeds.

        Args:
            lines: text, or what is wrong with a line.
            delimiter: where this format states none.
            most: characters in a cell.
        """
        stated = delimiter if self.delimiter == "auto" else self.delimiter
        return delimited_rows(lines, stated, quoting=self.quoting, most=most)


def of_width(row: Row, width: int) -> Row:
    """A row with as many cells as the first one, or what is wrong with it."""
    if isinstance(row.cells, BadRowError) or len(row.cells) == width:
        return row
    if not any(row.cells):
        return Row(row.number, BLANK)
    reason = f"has {counted(len(row.cells), 'columns')} where the first line has {width}"
    return Row(row.number, BadRowError("too few or too many columns", reason))


def json_line(line: str) -> dict[str, Any] | BadRowError:
    """The object on a line of JSON lines."""
    if not line.strip():
        return BLANK
    try:
        return json_object(parse_json(line), escapes="\\u" in line)
    except ValueError as error:
        return BadRowError("lines that are not JSON", f"is not JSON ({error})")


def json_object(value: object, *, escapes: bool = True) -> dict[str, Any] | BadRowError:
    """A value of JSON as a row; its texts may have been written with escapes."""
    if not isinstance(value, dict):
        return BadRowError("rows that are not JSON objects", "is not a JSON object; write one object for each row")
    try:  # an escape may spell half a character, which no tokenizer takes
        if escapes:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return BadRowError("lone surrogates", "holds half of a surrogate pair, which is no character")
    return value
