"""The sorted table and what it is spelt in."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.checkpoint.google.table import FOOTER, read_table, write_table
from cloze.checkpoint.google.wire import bytes_field, fields, fixed32_field, masked_crc32c, read_varint, varint
from cloze.errors import InputError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tensorflow" / "model.ckpt-1000.index"
KEYS = st.one_of(st.binary(max_size=12), st.text("ab/\xff", max_size=20).map(lambda text: text.encode("latin-1")))


@given(
    entries=st.dictionaries(KEYS, st.binary(max_size=40), max_size=60),
    block_size=st.sampled_from([1, 30, 100, 262_144]),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, bytes], block_size: int) -> None:
    file = tmp_path_factory.getbasetemp() / "round.index"
    file.write_bytes(write_table(entries, block_size))
    assert list(read_table(file).items()) == sorted(entries.items())


def test_written_as_tensorflow_writes(shared_data: Path) -> None:
    """Byte for byte: keys, restarts, separators, checksums, footer."""
    for file in [FIXTURE, *(shared_data / "checkpoints").glob("google_*/*.index")]:
        assert write_table(read_table(file)) == file.read_bytes()


@given(st.integers(0, 2**64 - 1))
def test_varint(value: int) -> None:
    assert read_varint(b"x" + varint(value) + b"y", 1) == (value, 1 + len(varint(value)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9 + b"\x7f", b"\x80" * 11])
def test_no_varint(data: bytes) -> None:
    with pytest.raises(ValueError, match="a number"):
        read_varint(data, 0)


def test_fields() -> None:
    message = varint(1 << 3) + varint(300) + bytes_field(2, b"ab") + fixed32_field(6, 7)
    assert list(fields(message)) == [(1, 300), (2, b"ab"), (6, 7)]
    with pytest.raises(ValueError, match="is truncated"):
        list(fields(message[:-1]))
    with pytest.raises(ValueError, match="kind 3"):
        list(fields(varint(1 << 3 | 3)))


def test_checksum() -> None:
    """crc32c of "123456789" is 0xe3069283 (RFC 3720, B.4 lists others); masked as leveldb's header says."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_compressed_blocks_are_refused(tmp_path: Path) -> None:
    table = bytearray(write_table({b"": b"x"}))
    end = 4 + 4 + 4  # an entry of 4 bytes, one restart, their number
    table[end] = 1
    table[end + 1 : end + 5] = masked_crc32c(bytes(table[: end + 1])).to_bytes(4, "little")
    (tmp_path / "a.index").write_bytes(table)
    with pytest.raises(InputError, match="compressed with Snappy, which is not read: save"):
        read_table(tmp_path / "a.index")


@pytest.mark.parametrize("content", [b"", b"no table" * 20, write_table({})[-FOOTER:]])
def test_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.index").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.index is damaged"):
        read_table(tmp_path / "a.index")
