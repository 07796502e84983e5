"""Read files within limits on depth, digits, aliases and expansion, before trusting what they declare.

What a file says of itself (sizes, counts, repetitions) costs its writer nothing. Everything here raises ``ValueError``
with a reason that fits behind a colon; readers put the name of the file and what to do around it.
"""

import errno
import io
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import yaml

MAX_TEXT_BYTES = 1 << 30
MAX_YAML_BYTES = 8 << 20
MAX_YAML_NODES = 200_000  # with every alias counted as what it stands for
MAX_YAML_DEPTH = 64
MAX_DIGITS = 4300  # as Python's own limit for whole numbers
FREE_EXPANSION = 64 << 20
"""Bytes into which any compressed file may expand."""
MAX_EXPANSION = 250
"""How many times its size a larger one may become; text shrinks to a third to a thirtieth."""


class ExpansionError(ValueError):
    """What a compressed file expands to is out of proportion to its size."""


class EndlessError(OSError, ValueError):
    """A file that nobody can read as a whole."""


class TextFile(Protocol):
    """A path here or on an object store."""

    def read_text(self, encoding: str) -> str:
        """All of it."""


def check_end(file: Path) -> None:
    """Whether a file can be read to its end.

    Raises:
        EndlessError: it is a device.
    """
    if file.is_char_device() or file.is_block_device():
        raise EndlessError(errno.EFBIG, "it is a device, which may have no end")


def read_text(file: TextFile, encoding: str = "utf-8") -> str:
    """All of a file that is small by its nature.

    Raises:
        EndlessError: it is a device, or larger than any such file.
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text.
    """
    if isinstance(file, Path):
        check_end(file)
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise EndlessError(errno.EFBIG, f"it is larger than {MAX_TEXT_BYTES >> 20:,} MiB")
    return file.read_text(encoding=encoding)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or is nested too deeply or has too long a number to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python's limit of whole numbers
        raise ValueError(f"it holds a whole number of more than {MAX_DIGITS:,} digits") from None


def read_json(file: TextFile) -> Any:
    """The value in a JSON file, under the conditions of ``parse_json``."""
    return parse_json(read_text(file))


def parse_yaml(text: str) -> Any:
    """The value of a YAML text of plain data.

    Raises:
        ValueError: it is not YAML, or is larger, deeper or, with its aliases, longer than any configuration.
    """
    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f"it is longer than {MAX_YAML_BYTES:,} characters")
    try:
        _check_yaml(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _check_yaml(text: str) -> None:
    """Walks over the events of the parser, which holds no tree and calls nothing recursively."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # the anchor of each, and the count before it
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            if len(open_nodes) > MAX_YAML_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_YAML_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ValueError(f"the alias *{event.anchor} stands inside of what it stands for")
            count += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
            raise ValueError(f"it holds a number of more than {MAX_DIGITS:,} digits")
        count += 1
        if count > MAX_YAML_NODES:
            raise ValueError(f"it holds more than {MAX_YAML_NODES:,} values")


def _is_long_number(scalar: yaml.ScalarEvent) -> bool:
    """Numbers to the base of 60 among them, whose value takes a time that grows with the square of their length."""
    return len(scalar.value) > MAX_DIGITS and scalar.implicit[0] and not scalar.value.strip("0123456789_:.+-")


def largest_expansion(packed: int) -> int:
    """Bytes into which a compressed file of this many may expand."""
    return max(FREE_EXPANSION, MAX_EXPANSION * packed)


def check_expansion(unpacked: int, packed: int) -> None:
    """Hold the size of what comes out of a compressed file against the size of the file, both in bytes.

    Raises:
        ExpansionError: no text, table or model shrinks so much.
    """
    if unpacked > largest_expansion(packed):
        raise ExpansionError(
            f"it expands to more than {MAX_EXPANSION} times its size, as no text or model does; decompress it and give "
            "that file, if it is meant so"
        )


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file in a ZIP archive; it holds at most as many bytes as the archive says, which is checked before.

    Raises:
        ExpansionError: it would be far larger.
    """
    member = archive.getinfo(name)
    check_expansion(member.file_size, member.compress_size)
    return archive.read(member)


class Expanded(io.RawIOBase):
    """What comes out of a compressed file; ``bounded`` makes it a stream.

    Args:
        stream: decompresses.
        packed: size of the file in bytes.
    """

    def __init__(self, stream: BinaryIO, packed: int) -> None:
        self._stream, self._packed, self._unpacked = stream, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        block = self._stream.read(len(buffer))
        self._unpacked += len(block)
        check_expansion(self._unpacked, self._packed)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()
