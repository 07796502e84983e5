"""Stream the rows of a JSON document, a list or `{"data": [...]}`, with only one in memory.

`pyarrow.json` reads no such documents; it also refuses a key whose values are numbers and texts, and makes times of
texts that look like dates.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from cloze.errors import InputError
from cloze.files.bounded import MAX_DIGITS

ROWS = "data"
LONGEST_VALUE = 16 << 20  # characters
CHARACTERS_AT_ONCE = 1 << 16
ENDS = tuple(" \t\r\n,:]}")
"""What may stand behind a value."""
SPACE = re.compile(r"[ \t\r\n]*")


def head_of(stream: BinaryIO) -> bytes:
    """What can be seen of a stream without reading it; nothing where it has no buffer."""
    return stream.peek(1) if isinstance(stream, io.BufferedReader) else b""


def is_document(head: bytes) -> bool:
    """Whether a text of JSON is one document of rows, not an object a line.

    Args:
        head: its beginning. An object is a document where `data` is a list of objects, and nothing in between is split.
    """
    text = head.decode("utf-8-sig", errors="ignore").lstrip()
    if text.startswith("["):
        return True
    values = _Values(text)
    try:
        while values.key() != ROWS:
            values.next()
        return values.takes("[") and values.takes("{")
    except (ValueError, RecursionError):
        return False


def document_rows(stream: BinaryIO, name: str) -> Iterator[object]:
    """The rows of a document.

    Args:
        stream: at the beginning of it.
        name: of the file, for messages.

    Raises:
        InputError: it is not JSON, or is truncated.
    """
    values = _Values("", stream)
    row = 0
    try:
        if not values.takes("["):
            while values.key() != ROWS:
                values.next()
            values.needs("[")
        while not values.takes("]"):
            if row:
                values.needs(",")
            row += 1
            yield values.next()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{name}: is not JSON ({reason}, in row {row}); write the file again") from error


class _Values:
    """A text of JSON, read value by value; of what is before nothing is kept."""

    def __init__(self, text: str, stream: BinaryIO | None = None) -> None:
        self._text, self._at, self._stream = text, 0, stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode

    def key(self) -> str:
        """The key of the next entry of an object."""
        if not self.takes("{"):
            self.needs(",")
        key = str(self.next())
        self.needs(":")
        return key

    def takes(self, sign: str) -> bool:
        """Whether the next sign is this one; it is passed over then."""
        self._at = self._blank()
        while self._at == len(self._text) and self._more():
            self._at = self._blank()
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) * found
        return found

    def needs(self, sign: str) -> None:
        """Pass over the next sign, which must be this one."""
        if not self.takes(sign):
            raise ValueError(f"expected {sign!r}" if self._at < len(self._text) else "it ends before its end")

    def next(self) -> Any:
        """The next value."""
        self.takes("")
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise ValueError(error.msg if self._at < len(self._text) else "it ends before its end") from error
                continue
            except ValueError:  # Python's limit of whole numbers
                raise ValueError(f"it holds a whole number of more than {MAX_DIGITS:,} digits") from None
            if self._text[end : end + 1] in ENDS or not self._more():  # a number may go on
                self._at = end
                return value

    def _blank(self) -> int:
        match = SPACE.match(self._text, self._at)
        assert match is not None
        return match.end()

    def _more(self) -> bool:
        """Read on, each time as much as there is, so that a long value is not scanned too often."""
        rest = self._text[self._at :]
        if self._stream is None:
            return False
        if len(rest) > LONGEST_VALUE:
            raise ValueError(f"a value is longer than {LONGEST_VALUE:,} characters")
        content = self._stream.read(max(CHARACTERS_AT_ONCE, len(rest)))
        self._text, self._at = rest + self._decode(content, final=not content), 0
        if not content:
            self._stream = None
        return bool(content)
