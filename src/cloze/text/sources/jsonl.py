"""Documents from JSON: one object per line, or a list of objects, with the text in one field."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from cloze.errors import BadRowError
from cloze.files.bounded import parse_json
from cloze.text.documents import Document, Unit, paragraphs
from cloze.text.sources.json_rows import document_rows
from cloze.text.sources.lines import LineDecoder, RawLine


def documents(lines: Iterator[RawLine], unit: Unit, decoder: LineDecoder, field: str) -> Iterator[Document]:
    """One document for each line that begins in the bytes of `unit`."""
    for line in lines:
        if 0 <= unit.end <= line.offset:
            return
        if line.offset < unit.start or line.content.isspace():
            continue
        content = decoder.decode(line)
        if content is None:
            continue
        try:
            text = _text(_parsed(content), field, escapes="\\u" in content)
        except BadRowError as bad:
            decoder.reject(bad.kind, f"the line {bad}", line.offset)
            continue
        if found := paragraphs(text):
            yield Document(found, f"{unit.path}, byte {line.offset}")


def listed_documents(stream: BinaryIO, unit: Unit, decoder: LineDecoder, field: str) -> Iterator[Document]:
    """One document for each object of a JSON list, or of the list under ``data``."""
    for number, row in enumerate(document_rows(stream, unit.path), start=1):
        where = f"{unit.path}, row {number}"
        try:
            text = _text(row, field, escapes=True)
        except BadRowError as bad:
            decoder.refuse(bad.kind, f"the row {bad}", where)
            continue
        if found := paragraphs(text):
            yield Document(found, where)


def _parsed(content: str) -> object:
    try:
        return parse_json(content)
    except ValueError as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        raise BadRowError("malformed_lines", f"is not JSON ({reason})") from error


def _text(row: object, field: str, *, escapes: bool) -> str:
    """The text of a row.

    Raises:
        BadRowError: it has none.
    """
    if not isinstance(row, dict):
        raise BadRowError("malformed_lines", "is JSON, but not an object with fields")
    if field not in row:
        there = ", ".join(map(repr, row)) or "none"
        reason = f"has no field {field!r} (fields: {there}); choose one with corpus.source.field"
        raise BadRowError("malformed_lines", reason)
    text = row[field]
    if not isinstance(text, str):
        raise BadRowError("malformed_lines", f"has a value of type {type(text).__name__} in {field!r}, not a string")
    # An escape can smuggle in what the bytes of the line do not show.
    if escapes and any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise BadRowError("undecodable_lines", f"has NUL or half of a surrogate pair in {field!r}")
    return text
