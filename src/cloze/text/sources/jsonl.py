"""Documents of JSON lines: one object a line, one of its fields is the text."""

import json
from collections.abc import Iterator

from cloze.bounded import parse_json
from cloze.text.documents import Document, Unit
from cloze.text.sources.lines import LineDecoder, RawLine


def documents(lines: Iterator[RawLine], unit: Unit, decoder: LineDecoder, field: str) -> Iterator[Document]:
    """One document for each line that begins in the bytes of `unit`."""
    for line in lines:
        if 0 <= unit.end <= line.offset:
            return
        if line.offset < unit.start or line.content.isspace():
            continue
        text = _text(line, decoder, field)
        paragraphs = [stripped for part in text.split("\n") if (stripped := part.strip())] if text else []
        if paragraphs:
            yield Document(paragraphs, f"{unit.path}, byte {line.offset}")


def _text(line: RawLine, decoder: LineDecoder, field: str) -> str | None:
    content = decoder.decode(line)
    if content is None:
        return None
    try:
        row = parse_json(content)
    except ValueError as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        decoder.reject("malformed_lines", f"the line is not JSON ({reason})", line.offset)
        return None
    if not isinstance(row, dict):
        decoder.reject("malformed_lines", "the line is JSON, but not an object with fields", line.offset)
    elif field not in row:
        there = ", ".join(map(repr, row)) or "none"
        reason = f"the line has no field {field!r} (fields: {there}); choose one with corpus.source.field"
        decoder.reject("malformed_lines", reason, line.offset)
    elif not isinstance(row[field], str):
        kind = type(row[field]).__name__
        decoder.reject(
            "malformed_lines", f"the field {field!r} holds a value of type {kind}, not a string", line.offset
        )
    # An escape can smuggle in what the bytes of the line do not show.
    elif "\\u" in content and any(character == "\0" or "\ud800" <= character <= "\udfff" for character in row[field]):
        decoder.reject("undecodable_lines", f"the field {field!r} holds NUL or half of a surrogate pair", line.offset)
    else:
        text: str = row[field]
        return text
    return None
