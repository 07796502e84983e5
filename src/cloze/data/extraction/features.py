"""Feature extraction from an input to an output in parts; a killed extraction resumes after the last complete part."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError

from cloze.data.extraction.chunks import Chunk, Chunks
from cloze.data.extraction.feature_files import FeatureFiles, Part
from cloze.data.extraction.options import Level
from cloze.data.extraction.partial import PartialFeatures, PartialPart, partial_features
from cloze.data.extraction.text_tokens import TextTokens
from cloze.data.extraction.vectors import is_pooled
from cloze.data.tables.formats import STANDARD_INPUT, TableFormat
from cloze.data.tables.stream import StreamRow, stream_rows
from cloze.errors import InputError

RowSource = Callable[[int, Counter[str]], Iterator[StreamRow]]
"""From the number of rows to pass over, and a counter of bad rows, to the rows of the input."""

Tells = Callable[[int, int], None]
"""Receives the texts and tokens that are written."""

PART_BYTES = 64 << 20
"""Of the hidden states that are computed and written together."""

LONGEST_BYTES = 192 << 20
"""Of the hidden states of one text, which stand in one row."""


class Outcome(NamedTuple):
    """What was written.

    Attributes:
        texts: rows of the input.
        tokens: that the encoder read, each once.
        left_out: rows, by what was wrong with them.
        notes: what had to be done to texts, and to how many.
        resumed: behind this many texts of a run that was stopped.
    """

    texts: int
    tokens: int
    left_out: dict[str, int]
    notes: dict[str, int]
    resumed: int


class Extracts(Protocol):
    """Computes what is written of texts, as ``Extractor`` does."""

    @property
    def level(self) -> Level:
        """What has a row in the results."""

    def row_counts(self, texts: Sequence[TextTokens]) -> np.ndarray:
        """(texts,) int64, the rows that each text has in the results."""

    def extract(self, texts: Sequence[TextTokens], begun: PartialPart) -> dict[str, np.ndarray]:
        """Every result, (R, width), by its name; ``begun`` knows what has been computed before, and keeps it."""


class Tables(Protocol):
    """Makes what stands next to the results, as ``RowTables`` does."""

    def table(self, chunk: Chunk) -> pa.Table:
        """One row a text."""


@dataclass(frozen=True, kw_only=True)
class FeatureWriter:
    """Computes and writes what is not written yet, then lets the output appear.

    Attributes:
        chunks: cuts the rows.
        extractor: computes.
        tables: what stands next to the hidden states.
        files: writes.
        partial: this output, begun.
        tell: for progress.
        resumes_parts: keep a part that is not finished, too, from time to time: the same rows can be read again.
    """

    chunks: Chunks
    extractor: Extracts
    tables: Tables
    files: FeatureFiles
    partial: PartialFeatures
    tell: Tells
    resumes_parts: bool = True

    def write_table(self, path: str, layout: TableFormat) -> Outcome:
        """The features of all rows of a table, or of standard input."""
        on_bad_row = self.chunks.on_bad_row
        return self.write(
            lambda skip, counts: stream_rows(path, layout, skip=skip, on_bad_row=on_bad_row, counts=counts)
        )

    def write(self, rows: RowSource) -> Outcome:
        """The features of all rows.

        Raises:
            InputError: parts stand of rows that cannot be read again.
        """
        records, counts = self.partial.parts(), self.chunks.counts
        if records and not self.resumes_parts and not self.partial.at_end:
            raise InputError(
                f"{self.partial.work}: an unfinished output of standard input, which cannot be read again from its "
                "middle; delete the folder and start from scratch, or give input=FILE"
            )
        resumed = _sum(records, "texts")
        if not self.partial.at_end:
            if records:
                counts.update(records[-1]["left_out"])
            for chunk in self.chunks.cut(rows(records[-1]["next_row"] if records else 0, counts)):
                self._add(chunk, records)
            if not records:
                self._add(Chunk([], [], [], 0, {}, {}), records)
            self.partial.end(counts)
        left_out = self.partial.left_out()
        self.files.finish(records)
        self.partial.remove()
        notes = sum((Counter(record["notes"]) for record in records), Counter[str]())
        return Outcome(_sum(records, "texts"), _sum(records, "tokens"), left_out, dict(notes), resumed)

    def _add(self, chunk: Chunk, records: list[dict[str, Any]]) -> None:
        number, counts = len(records), None
        if not is_pooled(self.extractor.level):
            counts = self.extractor.row_counts(chunk.texts)
        texts, tokens = _sum(records, "texts"), _sum(records, "tokens")
        within = sum(len(text.ids) for text in chunk.texts)
        begun = PartialPart(
            self.partial.begun(number) if self.resumes_parts else None,
            lambda share: self.tell(texts + int(share * len(chunk.texts)), tokens + int(share * within)),
        )
        results = self.extractor.extract(chunk.texts, begun)
        part = Part(self.tables.table(chunk), counts, results)
        record = self.files.write(number, part, records) | {
            "texts": len(chunk.numbers),
            "tokens": within,
            "next_row": chunk.next_row,
            "left_out": chunk.left_out,
            "notes": chunk.notes,
        }
        self.partial.add(number, record)
        begun.remove()
        records.append(record)


def _sum(records: Sequence[Mapping[str, Any]], key: str) -> int:
    return sum(record[key] for record in records)


@contextmanager
def resumable(output: Path, plan: Mapping[str, Any]) -> Iterator[PartialFeatures]:
    """An output that is begun, or resumed where a killed process left it.

    Args:
        output: to come.
        plan: what decides the output.

    Raises:
        InputError: it exists, cannot be written, another process is writing it, or what was begun is of another plan.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with partial_features(output) as partial:
            partial.begin(plan)
            yield partial
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{output}: cannot be written ({reason}); fix that and give the same command again: finished parts are "
            "kept, and it resumes after them"
        ) from error


def input_identity(path: str) -> dict[str, Any]:
    """What shows that an input is the same as before: its name, its size, when it was changed, how it begins and ends.

    Raises:
        InputError: it cannot be read.
    """
    if path == STANDARD_INPUT:
        return {"path": path}
    try:
        with Path(path).open("rb") as stream:
            status = os.fstat(stream.fileno())
            hashed = hashlib.sha256(stream.read(1 << 20))
            stream.seek(max(0, status.st_size - (1 << 20)))
            hashed.update(stream.read(1 << 20))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return {"path": path, "bytes": status.st_size, "modified": status.st_mtime_ns, "sha256": hashed.hexdigest()}
