"""Variables of a checkpoint: against TensorFlow's own values, in a round trip, and damaged anywhere."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cloze.checkpoint.google.bundle import DTYPES, HEADER, Entry, read_index, write_bundle
from cloze.checkpoint.google.table import write_table
from cloze.checkpoint.google.wire import bytes_field, number_field
from cloze.errors import InputError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tensorflow"
INDEX = "model.ckpt-1000.index"


def raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_values_are_tensorflows() -> None:
    told = json.loads((FIXTURE / "values.json").read_text())
    bundle = read_index(FIXTURE / INDEX)
    assert bundle.shards == 3
    assert {bundle.entries[name].shard for name in told} == {1, 2}
    tensors = bundle.tensors([*told])
    assert len(told) == 35
    for name, (dtype, shape, values) in told.items():
        assert (str(tensors[name].dtype), list(tensors[name].shape)) == (f"torch.{dtype}", shape)
        assert raw(tensors[name]).hex() == values


Drawn = dict[str, tuple[torch.dtype, list[int], int]]

TENSORS = st.dictionaries(
    st.tuples(st.characters(min_codepoint=1, exclude_categories=["Cs"]), st.text(max_size=7)).map("".join),
    st.tuples(st.sampled_from(list(DTYPES.values())), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 99)),
    max_size=6,
)


@given(TENSORS)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    tensors = {}
    for name, (dtype, shape, seed) in drawn.items():
        size = int(np.prod(shape)) * dtype.itemsize
        values = np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 256, size, np.uint8)
        tensors[name] = torch.tensor(values).view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype)
    folder = tmp_path_factory.getbasetemp()
    write_bundle(folder, "round", tensors)
    bundle = read_index(folder / "round.index")
    read = bundle.tensors([*tensors])
    assert [*bundle.entries] == sorted(tensors, key=str.encode)
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape, raw(read[name])) == (tensor.dtype, tensor.shape, raw(tensor))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_bundle(
        folder, "m", {"a/kernel": torch.arange(6.0).reshape(2, 3), "a/bias": torch.ones(3), "b": torch.ones(1)}
    )
    return folder


def outcome(folder: Path) -> str:
    """What is wrong; nothing where every value is right."""
    try:
        bundle = read_index(folder / "m.index")
        tensors = bundle.tensors([*bundle.entries])
    except InputError as error:
        return str(error)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "a/kernel": [[0, 1, 2], [3, 4, 5]],
        "a/bias": [1, 1, 1],
        "b": [1],
    }
    return ""


def test_every_cut_and_every_changed_byte_is_found(tiny: Path, tmp_path: Path) -> None:
    assert outcome(shutil.copytree(tiny, tmp_path / "copy")) == ""
    for file in (tmp_path / "copy").iterdir():
        content = file.read_bytes()
        for length in range(len(content)):
            file.write_bytes(content[:length])
            assert file.name in outcome(tmp_path / "copy")
        harmless = 0
        for at in range(len(content)):
            for bits in (0x01, 0xFF):
                changed = bytearray(content)
                changed[at] ^= bits
                file.write_bytes(changed)
                found = outcome(tmp_path / "copy")
                if file.suffix == ".index":
                    assert not found or "m.index" in found  # an index that is wrong about files is told by its own name
                    harmless += not found
                else:  # names in their order: a/bias, a/kernel, b
                    name = "a/bias" if at < 12 else "a/kernel" if at < 36 else "b"
                    assert f"the values of '{name}' do not fit their checksum" in found
        assert harmless < 2 * 60  # unused bytes of the footer and the block about blocks
        file.write_bytes(content)


def test_cut_values_name_the_variable(tiny: Path, tmp_path: Path) -> None:
    file = shutil.copytree(tiny, tmp_path / "copy") / "m.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match="is truncated: 'a/kernel' ends at byte 36, but the file at 20; copy it again"):
        read_index(tmp_path / "copy" / "m.index").tensors(["a/kernel"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other/string", "'other/string' has TensorFlow's type string, but only float32, "),
        ("other/sliced", r"'other/sliced' is kept in several slices \(a partitioned variable\), which is not read: "),
    ],
)
def test_kinds_that_are_not_read(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_index(FIXTURE / INDEX).tensors([name])


ENTRY = Entry(1, (2,), 0, 0, 8, 0, False)
HEAD = number_field(1, 1)


@pytest.mark.parametrize(
    ("header", "record", "message"),
    [
        (HEAD + number_field(2, 1), ENTRY.encoded(), "big-endian"),
        (HEAD + bytes_field(3, number_field(2, 9)), ENTRY.encoded(), "needs version 9"),
        (number_field(3, 1), ENTRY.encoded(), "its header: 1 is no message"),
        (HEAD, ENTRY._replace(shard=1).encoded(), "'v' is in file 1 of 1"),
        (HEAD, ENTRY._replace(size=9).encoded(), r"'v' of shape \(2,\) should have 8 bytes, but has 9"),
        (HEAD, ENTRY._replace(dtype=99).encoded(), "type number 99"),
        (HEAD, ENTRY._replace(offset=2**64 - 1).encoded(), "the record of 'v': .* is no number from 0"),
        (HEAD, b"\x08", "the record of 'v': a number is truncated"),
        (HEAD, bytes_field(2, number_field(3, 1)), "it has no shape"),
        (None, ENTRY.encoded(), "not the index of a checkpoint"),
    ],
)
def test_records_that_are_wrong(tmp_path: Path, header: bytes | None, record: bytes, message: str) -> None:
    table = {b"v": record} | ({} if header is None else {HEADER: header})
    (tmp_path / "m.index").write_bytes(write_table(table))
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(InputError, match=message):
        read_index(tmp_path / "m.index").tensors(["v"])


@given(st.binary(max_size=60), st.binary(max_size=30))
def test_any_record_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, record: bytes, header: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.index"
    file.write_bytes(write_table({HEADER: header, b"v": record}))
    with contextlib.suppress(InputError):
        read_index(file).tensors(["v"])
