"""TensorFlow's checkpoint format ("tensor bundle"): an index of variables, and files of raw values.

The records are those of tensorflow/core/protobuf/tensor_bundle.proto; a variable's values lie in one piece in one of
the files, little-endian and in the order of C, with a checksum in its record.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cloze.checkpoint.google.table import read_table, write_table
from cloze.checkpoint.google.wire import bytes_field, fields, fixed32_field, masked_crc32c, number_field
from cloze.checkpoint.weights import damaged
from cloze.errors import InputError

HEADER = b""
"""The key of the record about the whole."""

SLICE = b"\0"
"""What the keys of the parts of sliced variables begin with (tensorflow/core/util/saved_tensor_slice_util.cc)."""

VERSION = 1
LARGEST = 1 << 63

DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}
"""tensorflow/core/framework/types.proto."""

OTHER_DTYPES = {7: "string", 8: "complex64", 18: "complex128", 20: "resource", 21: "variant"}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """What the index says about a variable.

    Attributes:
        dtype: TensorFlow's number of the type.
        shape: of the variable.
        shard: the number of the file that holds it.
        offset: bytes before it there.
        size: bytes.
        crc32c: of these, masked.
        is_sliced: whether it is kept in several parts.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    is_sliced: bool

    @property
    def is_readable(self) -> bool:
        return self.dtype in DTYPES and not self.is_sliced

    def encoded(self) -> bytes:
        dimensions = b"".join(bytes_field(2, number_field(1, size)) for size in self.shape)
        numbers = number_field(3, self.shard) + number_field(4, self.offset) + number_field(5, self.size)
        return number_field(1, self.dtype) + bytes_field(2, dimensions) + numbers + fixed32_field(6, self.crc32c)


@dataclass(frozen=True)
class Bundle:
    """The index of a checkpoint.

    Attributes:
        index: its file.
        shards: how many files of values there are.
        entries: by the name of the variable.
    """

    index: Path
    shards: int
    entries: dict[str, Entry]

    def shard(self, number: int) -> Path:
        return self.index.with_name(shard_name(self.index.stem, number, self.shards))

    def tensors(self, names: Collection[str]) -> dict[str, Tensor]:
        """The values of these variables.

        Raises:
            InputError: a file is missing or truncated, a variable is damaged, or it is of a kind that is not read.
        """
        places: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            _check(self.index, name, self.entries[name])
            places[self.entries[name].shard].append(name)
        for number, inside in sorted(places.items()):
            if not self.shard(number).is_file():
                raise InputError(
                    f"{self.shard(number)} is missing, but {self.index.name} says that it holds {inside[0]!r} and "
                    f"{len(inside) - 1:,} other variables of the model: copy it to that place"
                )
        tensors = {}
        for number, inside in places.items():
            file = self.shard(number)
            length = file.stat().st_size
            with file.open("rb") as stream:
                for name in sorted(inside, key=lambda name: self.entries[name].offset):
                    entry = self.entries[name]
                    if entry.offset + entry.size > length:
                        raise InputError(
                            f"{file} is truncated: {name!r} ends at byte {entry.offset + entry.size:,}, but the file "
                            f"at {length:,}; copy it again"
                        )
                    stream.seek(entry.offset)
                    tensors[name] = _tensor(file, name, entry, stream.read(entry.size))
        return {name: tensors[name] for name in names}


def shard_name(prefix: str, number: int, shards: int) -> str:
    return f"{prefix}.data-{number:05d}-of-{shards:05d}"


def read_index(file: Path) -> Bundle:
    """What a checkpoint holds, without the values.

    Raises:
        InputError: the file is missing or damaged, or of a kind that is not read.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing: it is the index of a TensorFlow checkpoint")
    table = read_table(file)
    if HEADER not in table:
        raise damaged(file, "it is a table, but not the index of a checkpoint")
    shards = _read_header(file, table.pop(HEADER))
    entries = {}
    for key, record in table.items():
        if key.startswith(SLICE):
            continue
        try:
            entries[key.decode()] = entry = _read_entry(record)
        except ValueError as error:
            raise damaged(file, f"the record of {key.decode(errors='replace')!r}: {error}") from error
        if entry.shard >= shards:
            raise damaged(file, f"{key.decode()!r} is in file {entry.shard} of {shards}")
    return Bundle(file, shards, entries)


def write_bundle(folder: Path, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint with one file of values into a folder that exists."""
    version = bytes_field(3, number_field(1, VERSION))
    records = {HEADER: number_field(1, 1) + version}
    offset = 0
    with (folder / shard_name(prefix, 0, 1)).open("wb") as stream:
        for name in sorted(tensors, key=str.encode):
            tensor = tensors[name].detach().cpu().contiguous()
            raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
            shape = tuple(tensor.shape)
            entry = Entry(NUMBERS[tensor.dtype], shape, 0, offset, len(raw), masked_crc32c(raw), False)
            records[name.encode()] = entry.encoded()
            stream.write(raw)
            offset += len(raw)
    (folder / f"{prefix}.index").write_bytes(write_table(records))


def _read_header(file: Path, record: bytes) -> int:
    """How many files of values there are."""
    shards, big_endian, least_version = 0, 0, 0
    try:
        for number, value in fields(record):
            if number == 1:
                shards = _number(value)
            elif number == 2:
                big_endian = _number(value)
            elif number == 3:
                least_version = next((_number(least) for field, least in fields(_bytes(value)) if field == 2), 0)
    except ValueError as error:
        raise damaged(file, f"its header: {error}") from error
    if big_endian:
        raise InputError(f"{file} was saved on a big-endian machine, which is not read: save it again on another one")
    if least_version > VERSION:
        raise InputError(f"{file} needs version {least_version} of the format, but only {VERSION} is read")
    return shards


def _read_entry(record: bytes) -> Entry:
    dtype = shard = offset = size = crc32c = 0
    shape: tuple[int, ...] = ()
    is_sliced = False
    for number, value in fields(record):
        if number == 1:
            dtype = _number(value)
        elif number == 2:
            shape = _read_shape(_bytes(value))
        elif number == 3:
            shard = _number(value)
        elif number == 4:
            offset = _number(value)
        elif number == 5:
            size = _number(value)
        elif number == 6:
            crc32c = _number(value)
        elif number == 7:
            is_sliced = True
    return Entry(dtype, shape, shard, offset, size, crc32c, is_sliced)


def _read_shape(message: bytes) -> tuple[int, ...]:
    shape = []
    for number, value in fields(message):
        if number == 2:
            dimension = _bytes(value)
            shape.append(next((_number(size) for field, size in fields(dimension) if field == 1), 0))
        elif number == 3:
            raise ValueError("it has no shape")
    return tuple(shape)


def _number(value: int | bytes) -> int:
    if not isinstance(value, int) or value >= LARGEST:  # a negative one has all of the upper bits
        raise ValueError(f"{value!r} is no number from 0")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} is no message")
    return value


def _check(index: Path, name: str, entry: Entry) -> None:
    """Whether a variable can be read."""
    if entry.is_sliced:
        raise InputError(
            f"{index}: {name!r} is kept in several slices (a partitioned variable), which is not read: load the "
            "checkpoint in TensorFlow and save it without a partitioner"
        )
    if entry.dtype not in DTYPES:
        named = OTHER_DTYPES.get(entry.dtype, f"number {entry.dtype}")
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES.values())
        raise InputError(f"{index}: {name!r} has TensorFlow's type {named}, but only {known} are read")
    size = math.prod(entry.shape) * DTYPES[entry.dtype].itemsize
    if entry.size != size:
        raise damaged(index, f"{name!r} of shape {entry.shape} should have {size:,} bytes, but has {entry.size:,}")


def _tensor(file: Path, name: str, entry: Entry, raw: bytes) -> Tensor:
    if masked_crc32c(raw) != entry.crc32c:
        raise InputError(f"{file} is damaged: the values of {name!r} do not fit their checksum; copy it again")
    if not raw:
        return torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
    return torch.frombuffer(bytearray(raw), dtype=DTYPES[entry.dtype]).reshape(entry.shape)
