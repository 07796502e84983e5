"""Feature extraction from an input to an output, part by part: what was killed resumes after its last whole part."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cloze.data.extraction.begun import Begun
from cloze.data.extraction.chunks import Chunk, Chunks
from cloze.data.extraction.feature_files import FeatureFiles, Part
from cloze.data.extraction.feature_rows import RowTables
from cloze.data.extraction.vectors import Extractor, is_pooled
from cloze.data.tables.formats import STANDARD_INPUT
from cloze.data.tables.stream import StreamRow
from cloze.data.tables.unfinished import Unfinished
from cloze.errors import InputError

RowSource = Callable[[int, Counter[str]], Iterator[StreamRow]]
"""From the number of rows to pass over, and a counter of bad rows, to the rows of the input."""

Tells = Callable[[int, int], None]
"""Told of texts and tokens that are written."""

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
        went_on: behind so many texts of a run that was stopped.
    """

    texts: int
    tokens: int
    left_out: dict[str, int]
    notes: dict[str, int]
    went_on: int


def write_features(
    rows: RowSource,
    chunks: Chunks,
    extractor: Extractor,
    tables: RowTables,
    files: FeatureFiles,
    journal: Unfinished,
    tell: Tells,
    *,
    goes_on: bool = True,
) -> Outcome:
    """Compute and write what is not written yet, then let the output appear.

    Args:
        rows: of the input.
        chunks: cuts them.
        extractor: computes.
        tables: what stands beside the hidden states.
        files: writes.
        journal: of this output, begun.
        tell: for progress.
        goes_on: keep a part that is not whole, too, from time to time: the same rows can be read again.
    """
    records = journal.parts()
    went_on = sum(record["texts"] for record in records)

    def written(key: str) -> int:
        return sum(record[key] for record in records)

    def add(chunk: Chunk) -> None:
        counts = None if is_pooled(extractor.level) else extractor.row_counts(chunk.texts)
        texts, tokens, within = written("texts"), written("tokens"), sum(len(text.ids) for text in chunk.texts)
        begun = Begun(
            journal.begun(len(records)) if goes_on else None,
            lambda share: tell(texts + int(share * len(chunk.texts)), tokens + int(share * within)),
        )
        part = Part(tables.table(chunk), counts, extractor.extract(chunk.texts, begun))
        record = files.write(len(records), part, records) | {
            "texts": len(chunk.numbers),
            "tokens": within,
            "next_row": chunk.next_row,
            "left_out": chunk.left_out,
            "notes": chunk.notes,
        }
        journal.add(len(records), record)
        begun.remove()
        records.append(record)

    if not journal.at_end:
        if records:
            chunks.counts.update(records[-1]["left_out"])
        for chunk in chunks.cut(rows(records[-1]["next_row"] if records else 0, chunks.counts)):
            add(chunk)
        if not records:
            add(Chunk([], [], [], 0, {}, {}))
        journal.end(chunks.counts)
    left_out = journal.left_out()
    files.finish(records)
    journal.remove()
    notes = sum((Counter(record["notes"]) for record in records), Counter[str]())
    return Outcome(written("texts"), written("tokens"), left_out, dict(notes), went_on)


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
