"""The text that a vocabulary is trained on.

What was read for it is kept until it is encoded: some text is much slower to read than to encode (documentation strings
have to be parsed out of their modules), and need not be read twice.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa

from cloze.files.atomic import write_atomically
from cloze.files.remote import Location
from cloze.text.documents import Document, SentenceSplitter, Source, Unit
from cloze.text.quality.dropped import Dropped
from cloze.text.quality.judge import kept_documents
from cloze.text.quality.rules import QualityRules
from cloze.text.scripts import sentence_notes
from cloze.text.shards import open_arrow
from cloze.text.tokenizer_source import Learned, TokenizerSource

SCHEMA = pa.schema([("lines", pa.list_(pa.string())), ("origin", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How documents are read: from where, and which of them."""

    source: Source
    quality: QualityRules
    sentences: SentenceSplitter

    def documents(self, units: list[Unit], counts: Counter[str], dropped: Dropped) -> Iterator[Document]:
        """Those of some units, in order; what is skipped and dropped is counted."""
        found = chain.from_iterable(self.source.documents(unit, counts) for unit in units)
        return kept_documents(found, self.quality, self.sentences, dropped)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What all tasks of the sampling step have in common."""

    reading: Reading
    work: Location


class SampleTask(NamedTuple):
    number: int
    units: list[Unit]
    bytes: int  # of text, after which to stop


def sample_file(work: Location, number: int) -> Location:
    return work / f"sample-{number:05d}.arrow"


def read_sample(common: Sampling, task: SampleTask) -> Location:
    """Reads the first documents of some units into a file; returns its path."""
    path = sample_file(common.work, task.number)
    if path.exists():
        return path
    counts: Counter[str] = Counter()
    dropped = Dropped()
    documents: list[Document] = []
    left = task.bytes
    for document in common.reading.documents(task.units, counts, dropped):
        if left <= 0:
            break
        documents.append(document)
        left -= sum(len(line.encode()) + 1 for line in document.lines)
    whole = left > 0
    sink = pa.BufferOutputStream()
    found = {"counts": counts, "dropped": dropped.as_json(), "whole": whole}
    schema = SCHEMA.with_metadata({key: json.dumps(value) for key, value in found.items()})
    columns = [pa.array([getattr(document, field.name) for document in documents], field.type) for field in schema]
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    write_atomically(path, sink.getvalue())
    return path


def sampled_lines(path: Location) -> Iterator[str]:
    """The lines of a sample."""
    for document in _read(path).to_pylist():
        yield from document["lines"]


def dropped_from(path: Location) -> dict[str, Any]:
    """What the rules of quality dropped as a sample was read, as JSON."""
    found: dict[str, Any] = json.loads((_read(path).schema.metadata or {})[b"dropped"])
    return found


def train_on_samples(source: TokenizerSource, sentences: SentenceSplitter, paths: list[Location]) -> Learned:
    """The tokenizer of some samples, whose lines the rules for sentences are held against."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # nothing else runs meanwhile

    def lines() -> Iterator[str]:
        return chain.from_iterable(map(sampled_lines, paths))

    found = source.learn(lines)
    return found._replace(notes=[*found.notes, *sentence_notes(sentences, lines())])


def documents_of(
    reading: Reading, units: list[Unit], sample: Location, counts: Counter[str], dropped: Dropped
) -> Iterator[Document]:
    """All documents of some units: from the sample if that has all of them, else from the source."""
    table = _read(sample) if sample.exists() else None
    metadata = (None if table is None else table.schema.metadata) or {}  # an empty table is false
    if table is None or not json.loads(metadata[b"whole"]):
        yield from reading.documents(units, counts, dropped)
        return
    counts.update(json.loads(metadata[b"counts"]))
    dropped.update(Dropped.from_json(json.loads(metadata[b"dropped"])))
    for document in table.to_pylist():
        yield Document(**document)


def _read(path: Location) -> pa.RecordBatch:
    return open_arrow(path).get_batch(0)
