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
from typing import NamedTuple

import pyarrow as pa

from cloze.files.atomic import write_atomically
from cloze.files.remote import Location
from cloze.text.documents import Document, SentenceSplitter, Source, Unit
from cloze.text.scripts import sentence_notes
from cloze.text.shards import open_arrow
from cloze.text.tokenizer_source import Learned, TokenizerSource

SCHEMA = pa.schema([("lines", pa.list_(pa.string())), ("origin", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What all tasks of the sampling step have in common."""

    source: Source
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
    documents: list[Document] = []
    left = task.bytes
    for document in _documents(common.source, task.units, counts):
        if left <= 0:
            break
        documents.append(document)
        left -= sum(len(line.encode()) + 1 for line in document.lines)
    whole = left > 0
    sink = pa.BufferOutputStream()
    schema = SCHEMA.with_metadata({"counts": json.dumps(counts), "whole": json.dumps(whole)})
    columns = [pa.array([getattr(document, field.name) for document in documents], field.type) for field in schema]
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    write_atomically(path, sink.getvalue())
    return path


def sampled_lines(path: Location) -> Iterator[str]:
    """The lines of a sample."""
    for document in _read(path).to_pylist():
        yield from document["lines"]


def train_on_samples(source: TokenizerSource, sentences: SentenceSplitter, paths: list[Location]) -> Learned:
    """The tokenizer of some samples, whose lines the rules for sentences are held against."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # nothing else runs meanwhile

    def lines() -> Iterator[str]:
        return chain.from_iterable(map(sampled_lines, paths))

    found = source.learn(lines)
    return found._replace(notes=[*found.notes, *sentence_notes(sentences, lines())])


def documents_of(source: Source, units: list[Unit], sample: Location, counts: Counter[str]) -> Iterator[Document]:
    """All documents of some units: from the sample if that has all of them, else from the source."""
    table = _read(sample) if sample.exists() else None
    metadata = (None if table is None else table.schema.metadata) or {}  # an empty table is false
    if table is None or not json.loads(metadata[b"whole"]):
        yield from _documents(source, units, counts)
        return
    counts.update(json.loads(metadata[b"counts"]))
    for document in table.to_pylist():
        yield Document(**document)


def _documents(source: Source, units: list[Unit], counts: Counter[str]) -> Iterator[Document]:
    for unit in units:
        yield from source.documents(unit, counts)


def _read(path: Location) -> pa.RecordBatch:
    return open_arrow(path).get_batch(0)
