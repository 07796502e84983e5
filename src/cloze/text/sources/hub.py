"""Data sets of the Hugging Face hub, streamed; needs the package ``datasets``, an extra."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cloze.errors import InputError
from cloze.runtime.distribution import installation
from cloze.text.documents import Document, Unit, paragraphs

if TYPE_CHECKING:
    from datasets import IterableDataset

# A stream does not tell its size; it is only used to group shards of a dataset, which are alike.
SHARD_BYTES = 256_000_000


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """Rows of a dataset as documents; a unit is one of the dataset's own shards (files), never stored on disk.

    Attributes:
        dataset: name on the hub (``wikimedia/wikipedia``), a local folder of data files, or a format (``parquet``,
            ``json``, ``text``) for `data_files`.
        subset: the dataset's configuration (``20231101.en``).
        split: which split to read.
        field: the column that holds the text.
        data_files: only these files of the dataset.
        revision: branch, tag or commit, so that a later run reads the same text.
    """

    dataset: str
    subset: str | None = None
    split: str = "train"
    field: str = "text"
    data_files: str | list[str] | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        return self.dataset

    def units(self) -> list[Unit]:
        stream = self._stream()
        columns = stream.column_names
        if columns is not None and self.field not in columns:
            there = ", ".join(map(repr, columns))
            raise InputError(
                f"{self.dataset}: has no column {self.field!r} (columns: {there}); choose one with corpus.source.field"
            )
        return [Unit(self.dataset, index, index + 1, SHARD_BYTES) for index in range(stream.num_shards)]

    def documents(self, unit: Unit, counts: Counter[str]) -> Iterator[Document]:
        stream = self._stream()
        # Contiguous shards are whole files, so every index names the same rows in each run.
        rows = iter(stream.shard(stream.num_shards, unit.start, contiguous=True))
        number = 0
        while (row := self._read(rows, unit)) is not None:
            number += 1
            where = f"{self.dataset}, shard {unit.start}, row {number}"
            text = row.get(self.field)
            if text is None:
                counts["empty_rows"] += 1
                continue
            if not isinstance(text, str):
                kind = type(text).__name__
                raise InputError(
                    f"{where}: {self.field!r} holds a value of type {kind}, not text; set corpus.source.field"
                )
            if lines := paragraphs(text.replace("\0", "")):
                yield Document(lines, where)

    def fingerprint(self) -> dict[str, object]:
        return {"dataset": self.dataset, "subset": self.subset, "split": self.split, "revision": self.revision}

    def _read(self, rows: Iterator[dict[str, Any]], unit: Unit) -> dict[str, Any] | None:
        try:
            return next(rows, None)
        except Exception as error:  # whatever the dataset's format and the network raise
            raise InputError(
                f"{self.dataset}, shard {unit.start}: cannot be read ({error}); start again to resume"
            ) from error

    def _stream(self) -> "IterableDataset":
        return open_dataset(
            self.dataset,
            self.dataset,
            "check corpus.dataset, corpus.source.subset and corpus.source.split, and the network",
            name=self.subset,
            split=self.split,
            data_files=self.data_files,
            revision=self.revision,
            streaming=True,
        )


def open_dataset(dataset: str, source: str, advice: str, **options: Any) -> Any:
    """A dataset of the hub, or of files, as ``datasets.load_dataset`` gives it.

    Args:
        dataset: its name.
        source: what asked for it, for messages.
        advice: what to do where it cannot be opened.
        options: of that function.

    Raises:
        InputError: the package ``datasets`` is not installed, or the dataset cannot be opened.
    """
    if find_spec("datasets") is None:
        raise InputError(f"{source}: needs the package datasets; install it with: {installation('hub')}")
    from datasets import load_dataset

    try:
        return load_dataset(dataset, **options)
    except Exception as error:  # names, splits, subsets and the network fail in a dozen ways
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{source}: cannot be opened ({reason}); {advice}") from error
