"""Output formats for features, written in parts: Parquet, safetensors shards, one NumPy array."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import save_file

from cloze.data.extraction.feature_rows import with_places, with_vectors
from cloze.data.extraction.partial import PartialFeatures
from cloze.errors import InputError
from cloze.files.atomic import under_umask, write_atomically, written_beside
from cloze.files.bounded import read_json

SHARDS, INDEX = "shards", "index.json"
ARRAY = "features.npy"
HEADER_BYTES = 128
"""Of an array's file: it is written at the end, when the number of rows is known."""


class Part(NamedTuple):
    """What a chunk gives: its table of texts, the rows of each text (None: one), and the results (R, width)."""

    table: pa.Table
    counts: np.ndarray | None
    vectors: dict[str, np.ndarray]


class FeatureFiles(ABC):
    """One form of output.

    Args:
        partial: where the parts are.
    """

    def __init__(self, partial: PartialFeatures) -> None:
        self._partial = partial

    @abstractmethod
    def write(self, number: int, part: Part, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Writes a part, whole and on the disk when it returns; gives what its record needs."""

    @abstractmethod
    def finish(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Makes the output of all parts, and lets it appear."""


def feature_files(partial: PartialFeatures, *, as_folder: bool) -> FeatureFiles:
    """The form that the name of the output asks for.

    Args:
        partial: where the parts are.
        as_folder: the name ended in a slash.

    Raises:
        InputError: the name asks for none.
    """
    suffix = partial.output.suffix
    if as_folder or suffix == ".safetensors":
        return SafetensorsShards(partial)
    if suffix == ".parquet":
        return ParquetFile(partial)
    if suffix == ".npy":
        return NumpyArray(partial)
    raise InputError(
        f"output={partial.output}: expected a name that ends in .parquet, .npy or .safetensors, or a folder with a "
        "slash behind it"
    )


class ParquetFile(FeatureFiles):
    """One row a text; a part is a row group."""

    def write(self, number: int, part: Part, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A file of its own."""
        table = with_vectors(part.table, part.counts, part.vectors)
        _write_parquet(self._part(number), table.schema, iter([table]), list(part.vectors))
        return {"results": list(part.vectors)}

    def finish(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """All row groups in one file."""
        _join_parquet([self._part(n) for n in range(len(parts))], self._partial, parts[0]["results"])

    def _part(self, number: int) -> Path:
        return self._partial.work / f"part-{number:05d}.parquet"


class SafetensorsShards(FeatureFiles):
    """A folder: ``shard-00000.safetensors`` with the results, ``shard-00000.rows.parquet``, and ``index.json``."""

    def __init__(self, partial: PartialFeatures) -> None:
        super().__init__(partial)
        self._folder = partial.work / SHARDS

    def write(self, number: int, part: Part, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A shard with its table."""
        self._folder.mkdir(exist_ok=True)
        for leftover in self._folder.glob(".*"):
            leftover.unlink()
        rows, shard = (self._folder / f"shard-{number:05d}{suffix}" for suffix in (".rows.parquet", ".safetensors"))
        table = with_places(part.table, part.counts, 0)
        _write_parquet(rows, table.schema, iter([table]), [])
        with written_beside(shard) as partial, under_umask(partial):
            save_file(part.vectors, partial)
        vectors = len(next(iter(part.vectors.values())))
        return {"file": shard.name, "rows": rows.name, "texts": table.num_rows, "features": vectors}

    def finish(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """The index, then the folder as a whole."""
        if not self._folder.exists():  # it has been renamed already
            return
        keys = ("file", "rows", "texts", "features")
        shards = [{key: part[key] for key in keys} for part in parts]
        write_atomically(self._folder / INDEX, (json.dumps({"shards": shards}, indent=1) + "\n").encode())
        self._folder.rename(self._partial.output)


class NumpyArray(FeatureFiles):
    """``NAME.npy``, (R, width) or (R, results, width), which can be mapped, and ``NAME.rows.parquet``."""

    def write(self, number: int, part: Part, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Behind the parts that are whole; what a killed run left there is removed."""
        start = sum(record["features"] for record in before)
        table = with_places(part.table, part.counts, start)
        _write_parquet(self._rows(number), table.schema, iter([table]), [])
        arrays = list(part.vectors.values())
        whole = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
        with (self._partial.work / ARRAY).open("ab") as stream:
            stream.truncate(HEADER_BYTES + start * whole[:1].nbytes if start else HEADER_BYTES)
            stream.seek(0, os.SEEK_END)
            stream.write(np.ascontiguousarray(whole).data)
            stream.flush()
            os.fsync(stream.fileno())
        return {"features": len(whole), "shape": list(whole.shape[1:]), "dtype": whole.dtype.name}

    def finish(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """The header, then both files; the array last."""
        path, output = self._partial.work / ARRAY, self._partial.output
        if path.exists():  # else it has been renamed already
            shape = (sum(part["features"] for part in parts), *parts[0]["shape"])
            with path.open("r+b") as stream:
                stream.write(_header(shape, np.dtype(parts[0]["dtype"])))
                stream.flush()
                os.fsync(stream.fileno())
            _join_parquet([self._rows(n) for n in range(len(parts))], self._partial, [], rows_path(output))
            path.rename(output)

    def _rows(self, number: int) -> Path:
        return self._partial.work / f"rows-{number:05d}.parquet"


def rows_path(output: Path) -> Path:
    """``features.npy`` -> ``features.rows.parquet``."""
    return output.with_suffix(".rows.parquet")


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Version 1.0 of NumPy's format, filled up with blanks."""
    described = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    room = HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + described.ljust(room - 1).encode() + b"\n"


def _join_parquet(
    parts: Sequence[Path], partial: PartialFeatures, vectors: Sequence[str], output: Path | None = None
) -> None:
    """The row groups of all files in one; a single one is just renamed."""
    output = output or partial.output
    if len(parts) == 1:
        if parts[0].exists():
            parts[0].rename(output)
        return
    schema = pq.read_schema(parts[0])
    # In our folder, so that what is left of it goes with that.
    beside = partial.work / "joined.parquet"
    _write_parquet(beside, schema, (pq.read_table(part, memory_map=True) for part in parts), vectors)
    beside.rename(output)


def _write_parquet(path: Path, schema: pa.Schema, tables: Iterator[pa.Table], vectors: Sequence[str]) -> None:
    """Each table a row group. Hidden states hardly shrink by compression, and no two are alike."""
    others = [name for name in schema.names if name not in vectors]
    compression = dict.fromkeys(_leaves(schema, others), "zstd")
    with (
        written_beside(path) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression=dict.fromkeys(_leaves(schema, vectors), "none") | compression,
            use_dictionary=_leaves(schema, others),
            write_statistics=[name for name in ("row", "id") if name in schema.names],
        ) as writer,
    ):
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))


def _leaves(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """Parquet's paths of the columns: ``tokens.list.element``."""
    found = []
    for name in names:
        kind, path = schema.field(name).type, name
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            kind, path = kind.value_type, f"{path}.list.element"
        found.append(path)
    return found


@dataclass(frozen=True)
class WrittenFeatures:
    """An output of pooled embeddings, one a text.

    Attributes:
        output: the file or folder.
        names: of the results, as they were asked for.
    """

    output: Path
    names: tuple[str, ...]

    def column(self, name: str) -> list[Any]:
        """A column of what stands next to the hidden states, of all texts."""
        return [cell for file in self._tables() for cell in pq.read_table(file, columns=[name])[name].to_pylist()]

    def vectors(self, name: str, scratch: Path) -> np.ndarray:
        """(texts, width), mapped.

        Args:
            name: of the result.
            scratch: a folder for a copy, where the output cannot be mapped itself.
        """
        if self.output.suffix == ".npy":
            whole = np.load(self.output, mmap_mode="r")
            mapped: np.ndarray = whole if whole.ndim == 2 else whole[:, self.names.index(name)]
            return mapped
        total = sum(pq.read_metadata(file).num_rows for file in self._tables())
        parts = self._parquet(name) if self.output.suffix == ".parquet" else self._shards(name)
        copy: np.ndarray | None = None
        done = 0
        for part in parts:
            if copy is None:
                shape = (total, part.shape[1])
                copy = np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=part.dtype, shape=shape)
            copy[done : done + len(part)] = part
            done += len(part)
        return np.zeros((0, 1), np.float32) if copy is None else copy

    def _tables(self) -> list[Path]:
        if self.output.suffix == ".npy":
            return [rows_path(self.output)]
        if self.output.suffix == ".parquet":
            return [self.output]
        return [self.output / shard["rows"] for shard in self._index()]

    def _index(self) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = read_json(self.output / INDEX)["shards"]
        return shards

    def _parquet(self, name: str) -> Iterator[np.ndarray]:
        with pq.ParquetFile(self.output, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, columns=[name])[name].combine_chunks()
                if len(column):
                    yield column.values.to_numpy().reshape(len(column), -1)

    def _shards(self, name: str) -> Iterator[np.ndarray]:
        for shard in self._index():
            with safe_open(self.output / shard["file"], "np") as file:
                yield file.get_tensor(name)
