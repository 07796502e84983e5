"""LevelDB's sorted table, the format of the index of a TensorFlow checkpoint.

Blocks of entries, whose keys leave out what they share with the one before, each with a checksum; a block that says
where those are; a footer that says where that one is (google/leveldb, ``doc/table_format.md``).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cloze.checkpoint.google.wire import masked_crc32c, read_varint, varint
from cloze.checkpoint.weights import damaged
from cloze.errors import InputError

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER, TRAILER = 48, 5  # bytes
BLOCK_SIZE, RESTART_INTERVAL = 262_144, 16  # bytes, entries; TensorFlow's (core/lib/io/table_options.h)
PLAIN, SNAPPY = 0, 1
MOST_TIMES = 64
"""All keys together as a multiple of the file."""


class _Handle(NamedTuple):
    """Where a block is, in bytes, and how long, without its trailer."""

    offset: int
    size: int

    def encoded(self) -> bytes:
        return varint(self.offset) + varint(self.size)


def read_table(file: Path) -> dict[bytes, bytes]:
    """The entries of a table in the order of their keys.

    Raises:
        InputError: it is no table, or damaged, or compressed.
    """
    data = file.read_bytes()
    if not data.endswith(MAGIC) or len(data) < FOOTER:
        raise damaged(file, "it does not end as the index of a TensorFlow checkpoint does")
    try:
        footer = data[-FOOTER:]
        _, at = _read_handle(footer, 0)  # of the block about blocks, which nobody fills
        index, _ = _read_handle(footer, at)
        entries: dict[bytes, bytes] = {}
        last, held = None, 0
        for _, value in _entries(_block(data, index, file)):
            handle, _ = _read_handle(value, 0)
            for key, content in _entries(_block(data, handle, file)):
                if last is not None and key <= last:
                    raise ValueError(f"{_printable(key)} is out of order")
                entries[key] = content
                last = key
                if (held := held + len(key)) > MOST_TIMES * len(data):  # keys share beginnings, but not so much
                    raise ValueError("its keys are longer than any of a model")
    except ValueError as error:
        raise damaged(file, error) from error
    return entries


def write_table(entries: Mapping[bytes, bytes], block_size: int = BLOCK_SIZE) -> bytes:
    """The table of the entries, byte for byte as TensorFlow writes it."""
    table, index = bytearray(), _BlockBuilder(interval=1)
    block, last = _BlockBuilder(interval=RESTART_INTERVAL), b""
    pending: _Handle | None = None
    for key in sorted(entries):
        if pending:
            index.add(_separator(last, key), pending.encoded())
            pending = None
        block.add(key, entries[key])
        last = key
        if block.size >= block_size:
            pending = _append(table, block.finished())
            block = _BlockBuilder(interval=RESTART_INTERVAL)
    if block.count:
        pending = _append(table, block.finished())
    about_blocks = _append(table, _BlockBuilder(interval=RESTART_INTERVAL).finished())
    if pending:
        index.add(_successor(last), pending.encoded())
    footer = about_blocks.encoded() + _append(table, index.finished()).encoded()
    return bytes(table) + footer.ljust(FOOTER - len(MAGIC), b"\0") + MAGIC


def _read_handle(data: bytes, at: int) -> tuple[_Handle, int]:
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return _Handle(offset, size), at


def _block(data: bytes, handle: _Handle, file: Path) -> bytes:
    """A block's entries and restarts, its checksum compared.

    Raises:
        ValueError: it is not all there, or has changed.
        InputError: it is compressed.
    """
    end = handle.offset + handle.size
    if end + TRAILER > len(data) - FOOTER:
        raise ValueError(f"bytes {handle.offset:,} to {end:,}, which it points at, are not in it")
    kind = data[end]
    if int.from_bytes(data[end + 1 : end + TRAILER], "little") != masked_crc32c(data[handle.offset : end + 1]):
        raise ValueError(f"bytes {handle.offset:,} to {end:,} do not fit their checksum")
    if kind == SNAPPY:
        raise InputError(
            f"{file} is compressed with Snappy, which is not read: save the checkpoint again with a newer TensorFlow"
        )
    if kind != PLAIN:
        raise ValueError(f"bytes {handle.offset:,} to {end:,} are of an unknown kind, {kind}")
    return data[handle.offset : end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; the restarts, from which a reader may begin, are not needed to read all of it."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise ValueError("a block is too short")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise ValueError("an entry is truncated")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


class _BlockBuilder:
    """One block, while entries come in the order of their keys."""

    def __init__(self, interval: int) -> None:
        self.interval, self.count = interval, 0
        self._entries, self._restarts, self._last = bytearray(), [0], b""

    @property
    def size(self) -> int:
        return len(self._entries) + 4 * (len(self._restarts) + 1)

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self.count and self.count % self.interval == 0:
            self._restarts.append(len(self._entries))
        else:
            shared = _shared(self._last, key)
        self._entries += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self._last = key
        self.count += 1

    def finished(self) -> bytes:
        numbers = [*self._restarts, len(self._restarts)]
        return bytes(self._entries) + b"".join(number.to_bytes(4, "little") for number in numbers)


def _append(table: bytearray, block: bytes) -> _Handle:
    handle = _Handle(len(table), len(block))
    whole = block + bytes([PLAIN])
    table += whole + masked_crc32c(whole).to_bytes(4, "little")
    return handle


def _shared(first: bytes, second: bytes) -> int:
    """How many bytes two keys begin with in common."""
    shortest = min(len(first), len(second))
    return next((at for at in range(shortest) if first[at] != second[at]), shortest)


def _separator(first: bytes, second: bytes) -> bytes:
    """A short key from the first one to less than the second (leveldb, ``FindShortestSeparator``)."""
    at = _shared(first, second)
    if at < min(len(first), len(second)) and first[at] < 0xFF and first[at] + 1 < second[at]:
        return first[:at] + bytes([first[at] + 1])
    return first


def _successor(key: bytes) -> bytes:
    """A short key that is no less (leveldb, ``FindShortSuccessor``)."""
    for at, byte in enumerate(key):
        if byte != 0xFF:
            return key[:at] + bytes([byte + 1])
    return key


def _printable(key: bytes) -> str:
    return repr(key.decode(errors="replace"))
