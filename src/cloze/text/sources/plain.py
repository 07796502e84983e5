"""Documents of plain text, split by a rule, from any byte range of a file."""

import re
from collections.abc import Callable, Iterator
from typing import Literal

from cloze.text.documents import Document, Unit
from cloze.text.sources.lines import LineDecoder, RawLine

Boundary = Literal["blank_line", "line", "file"]
DocumentStart = Callable[[bytes, bytes], bool]


def document_start(boundary: Boundary, pattern: str | None) -> DocumentStart:
    """The rule that tells, from the line before and a line that is not blank, whether a document starts with the line.

    A `pattern` replaces `boundary`: it must match at the beginning of the line; its look-behinds see the line before.
    """
    if pattern is not None:
        matches = re.compile(pattern, re.MULTILINE).match

        def by_pattern(before: bytes, line: bytes) -> bool:
            context = before.decode(errors="replace")
            return matches(context + line.decode(errors="replace").rstrip("\r\n"), len(context)) is not None

        return by_pattern
    if boundary == "blank_line":
        return lambda before, _: not before.strip()
    return lambda *_: boundary == "line"


def documents(
    lines: Iterator[RawLine],
    unit: Unit,
    decoder: LineDecoder,
    starts_document: DocumentStart,
    skip_lines: str | None,
    max_document_bytes: float,
) -> Iterator[Document]:
    """Documents whose first line begins in the bytes of `unit`; the last one is read to its end, beyond the unit's.

    `lines` begin with the line before the unit. A document longer than `max_document_bytes` is split into two and
    counted (``cut_documents``), so that memory stays bounded.
    """
    is_skipped = re.compile(skip_lines).match if skip_lines is not None else None
    gathered: list[str] | None = None  # None while no document of this unit is open
    begin = size = 0
    before = b""
    for line in lines:
        blank = line.content.isspace()
        beyond = 0 <= unit.end <= line.offset
        if not blank and starts_document(before, line.content):
            if gathered:
                yield Document(gathered, f"{unit.path}, byte {begin}")
            if beyond:
                return
            gathered = [] if unit.start <= line.offset else None
            begin, size = line.offset, 0
        elif gathered is None and unit.start == 0:
            # What stands before the first document of the file is a document too, and this unit's, however late.
            gathered = None if blank else []
        elif gathered is None and beyond:
            return
        before = line.content
        if blank or gathered is None:
            continue
        text = decoder.decode(line)
        if text and not (is_skipped and is_skipped(text)):
            if size > max_document_bytes:
                decoder.counts["cut_documents"] += 1
                yield Document(gathered, f"{unit.path}, byte {begin}")
                gathered, begin, size = [], line.offset, 0
            gathered.append(text)
            size += len(line.content)
    if gathered:
        yield Document(gathered, f"{unit.path}, byte {begin}")
