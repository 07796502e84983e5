"""The encoding of the table and its records: varints, protocol-buffer fields, masked checksums.

Every function that decodes raises ``ValueError`` for what it cannot read.
"""

from collections.abc import Iterator

import google_crc32c

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of a field (protobuf.dev, encoding, "Message Structure")."""

MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes) -> int:
    """The checksum as it is stored next to what it is of (leveldb, ``util/crc32c.h``: Mask)."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where the next byte is."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number is truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
    raise ValueError("a number has more than 64 bits")


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers of a message's fields with their values, in the order in which they are written."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = read_varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = read_varint(message, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(message):
            raise ValueError("a field is truncated")
        raw, at = message[at : at + length], at + length
        yield number, raw if kind == BYTES else int.from_bytes(raw, "little")


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number; as in proto3, nothing for zero."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fixed32_field(number: int, value: int) -> bytes:
    return varint(number << 3 | FIXED32) + value.to_bytes(4, "little")
