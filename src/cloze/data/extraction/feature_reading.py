"""Written features, read again: one result at a time, as an array that is mapped and not held in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open

from cloze.data.extraction.feature_files import INDEX, rows_path
from cloze.files.bounded import read_json


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
