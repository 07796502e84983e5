"""Stream lines of text files, compressed or not, from any byte offset."""

import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

from cloze.errors import InputError
from cloze.files.bounded import Expanded, ExpansionError, check_end
from cloze.files.remote import RemotePath, location, size_of

COMPRESSIONS = (".gz", ".xz", ".zst")
BUFFER_BYTES = 1 << 20
LOOK_BACK_BYTES = 1 << 16  # of a longer line before a split the tail will do: it shows that the line is not blank
UTF8_BOM = b"\xef\xbb\xbf"


def endings(path: str) -> tuple[str, str]:
    """What the name of a file says of its format and of its compression, in lower case; empty where it says nothing."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return suffixes[-1] if suffixes else "", compression


class RawLine(NamedTuple):
    """A line as it stands in the file."""

    offset: int  # of its first byte in the (decompressed) text
    content: bytes  # with its end of line; at most the reader's limit
    complete: bool  # False when the line is longer than the limit: the rest has been skipped


@contextmanager
def open_text(path: str) -> Iterator[BinaryIO]:
    """Opens `path` for reading bytes, decompressed by its suffix.

    Raises:
        InputError: the file cannot be opened, or (inside the context) turns out to be damaged or truncated.
    """
    suffix = endings(path)[1]
    try:
        with _decompressed(path, suffix) as stream:
            yield stream
    except ExpansionError as error:
        raise InputError(f"{path}: {error}") from error
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if suffix and not isinstance(error, FileNotFoundError | PermissionError):
            raise InputError(
                f"{path}: the {suffix} file is damaged or truncated ({error}); fetch or write it again"
            ) from error
        raise InputError(
            f"{path}: cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        ) from error


def _decompressed(path: str, suffix: str) -> BinaryIO:
    place = location(path)
    if isinstance(place, Path):
        check_end(place)
    stream = _decompressed_object(place, suffix) if isinstance(place, RemotePath) else _decompressed_file(path, suffix)
    if not suffix:
        return stream
    return cast(BinaryIO, io.BufferedReader(Expanded(stream, size_of(place)), BUFFER_BYTES))


def _decompressed_file(path: str, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path))
    if suffix == ".zst":
        return io.BufferedReader(pa.input_stream(path, compression="zstd"), BUFFER_BYTES)
    return Path(path).open("rb", buffering=BUFFER_BYTES)


def _decompressed_object(place: RemotePath, suffix: str) -> BinaryIO:
    raw = cast(BinaryIO, io.BufferedReader(place.open(), BUFFER_BYTES))
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(raw))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(raw))
    if suffix == ".zst":
        return io.BufferedReader(pa.CompressedInputStream(place.open_stream(), "zstd"), BUFFER_BYTES)
    return raw


def raw_lines(stream: BinaryIO, start: int, max_line_bytes: int) -> Iterator[RawLine]:
    """Lines of `stream` from the one that holds byte ``start - 1``, so that the first shows what precedes it."""
    offset = start
    if start > 0:
        offset = max(0, start - LOOK_BACK_BYTES)
        stream.seek(offset)
        offset += stream.read(start - 1 - offset).rfind(b"\n") + 1
        stream.seek(offset)
    while content := stream.readline(max_line_bytes + 1):
        length = len(content)
        complete = length <= max_line_bytes or content.endswith(b"\n")
        last = content
        while not last.endswith(b"\n") and (last := stream.readline(BUFFER_BYTES)):
            length += len(last)
        if offset == 0 and content.startswith(UTF8_BOM):
            content = content[len(UTF8_BOM) :]
        yield RawLine(offset, content, complete)
        offset += length


def line_number(path: str, offset: int) -> int:
    """Number, from 1, of the line that holds byte `offset`; reads the file up to there, so it is for messages only."""
    number = 1
    with open_text(path) as stream:
        while offset > 0 and (block := stream.read(min(offset, BUFFER_BYTES))):
            number += block.count(b"\n")
            offset -= len(block)
    return number


@dataclass(frozen=True)
class LineDecoder:
    """Turns raw lines of one file into text; what cannot be text stops the reading or is skipped and counted."""

    path: str
    max_line_bytes: int
    skip_bad_lines: bool
    counts: Counter[str]

    def decode(self, line: RawLine) -> str | None:
        """Text of `line` without white space around it, or None when the line is bad and to be skipped.

        Raises:
            InputError: the line is bad and bad lines are not to be skipped.
        """
        text = self.text(line)
        return None if text is None else text.strip()

    def text(self, line: RawLine) -> str | None:
        """As `decode`, with the white space."""
        if not line.complete:
            self.reject("overlong_lines", f"the line is longer than {self.max_line_bytes:,} bytes", line.offset)
            return None
        if b"\0" in line.content:
            self.reject("nul_lines", "the line holds NUL bytes, so this is hardly a text", line.offset)
            return None
        try:
            return line.content.decode()
        except UnicodeDecodeError as error:
            reason = f"the line is not UTF-8 (byte {line.content[error.start]:#04x}); convert the file with iconv"
            self.reject("undecodable_lines", reason, line.offset)
            return None

    def reject(self, kind: str, reason: str, offset: int) -> None:
        """Counts a bad line as `kind`, or stops with `reason`."""
        where = self.path if self.skip_bad_lines else f"{self.path}, line {line_number(self.path, offset)}"
        self.refuse(kind, reason, where)

    def refuse(self, kind: str, reason: str, where: str) -> None:
        """As `reject`, where the position is known."""
        if not self.skip_bad_lines:
            raise InputError(f"{where}: {reason}, or skip such lines with corpus.source.on_bad_line=skip")
        self.counts[kind] += 1
