"""The steps of a preparation that workers run; each writes complete files before it reports success."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cloze.files.remote import Location, RemotePath
from cloze.text.documents import SentenceSplitter, Unit
from cloze.text.duplicates import duplicated_positions, heldout_hashes, local_copy
from cloze.text.encoding import WordEncoder
from cloze.text.journal import Journal
from cloze.text.manifest import ShardInfo
from cloze.text.near_duplicates.search import signature_file, write_array
from cloze.text.near_duplicates.signatures import banding, in_bands
from cloze.text.near_duplicates.verdicts import kept as without_near_duplicate
from cloze.text.normalization import SHOWN
from cloze.text.parts import Excerpt, PartBuilder, kept_documents, likeliest_heldout, read_part
from cloze.text.quality.dropped import Dropped
from cloze.text.sample import Reading, documents_of, sample_file
from cloze.text.segmenters import Words
from cloze.text.shards import read_shard, write_shard
from cloze.text.tokenizer import load_tokenizer, read_tokenizer

TOKENS_OF_A_PART = 4_000_000
"""A part is written when it has this many tokens, however large its piece of the corpus; bounds a worker's memory."""

LENGTH_BINS = (1, 5, 9, 17, 25, 33, 49, 65, 97, 129, 257, 513, 1 << 31)
"""Bins of the histogram of sentence lengths in tokens; each reaches up to the next."""


def even_groups(sizes: Sequence[int], target: int) -> list[range]:
    """Splits consecutive items into groups of about `target` in sum, as even as the items allow."""
    total = max(sum(sizes), 1)
    count = max(1, round(total / target))
    starts = np.cumsum([0, *sizes])[:-1]
    group = [int(start) * count // total for start in starts]
    firsts = [index for index in range(len(sizes)) if index == 0 or group[index] != group[index - 1]]
    return [range(first, last) for first, last in pairwise([*firsts, len(sizes)])]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What all tasks of the encoding step have in common."""

    training: Reading | None
    heldout: Reading | None
    sentences: SentenceSplitter
    folder: Location
    tokenizer_sha256: str
    words: Words
    near_duplicates: float | None
    shingle: int


class EncodingTask(NamedTuple):
    number: int
    units: list[Unit]
    heldout: bool  # of the source that is held out as a whole

    @property
    def step(self) -> str:
        return f"encoded-{self.number:05d}"

    @property
    def dropping(self) -> str:
        """The record of what the rules of quality have dropped."""
        return f"dropped-{self.number:05d}"


@lru_cache(maxsize=1)
def _encoder(tokenizer_folder: Location, sha256: str, words: Words) -> WordEncoder:  # noqa: ARG001 - another tokeniser, another entry
    return WordEncoder(*read_tokenizer(tokenizer_folder), words=words)


def encode_units(common: Encoding, task: EncodingTask) -> dict[str, Any]:
    """Reads, splits and encodes the documents of some units into one or more parts; returns the record of it."""
    journal = Journal(common.folder)
    encoder = _encoder(common.folder / "tokenizer", common.tokenizer_sha256, common.words)
    vocab_size = load_tokenizer(common.folder / "tokenizer").get_vocab_size()
    counts: Counter[str] = Counter()
    parts: list[dict[str, Any]] = []
    characters: Counter[str] = Counter()
    altered: Counter[str] = Counter()
    excerpts: list[Excerpt] = []
    dropped = Dropped()
    text_bytes = words = 0

    def write(builder: PartBuilder) -> None:
        nonlocal excerpts, text_bytes, words
        text_bytes += builder.text_bytes
        words += builder.num_words
        characters.update(builder.characters)
        altered.update(builder.altered)
        excerpts = likeliest_heldout([*excerpts, *builder.excerpts])
        if not builder.num_documents:
            return
        file = f"part-{task.number:05d}-{len(parts):03d}.arrow"
        builder.write(journal.work / file, vocab_size)
        if split is not None:
            write_array(signature_file(journal.work, file), in_bands(builder.signatures, split))
        sizes = {"documents": builder.num_documents, "lines": builder.num_lines, "tokens": builder.num_tokens}
        parts.append({"file": file, **sizes})

    split = None if common.near_duplicates is None else banding(common.near_duplicates)
    shingle = None if split is None else common.shingle
    builder = PartBuilder(common.sentences, encoder, shingle)
    sample = sample_file(journal.work, task.number)
    reading = common.heldout if task.heldout else common.training
    assert reading is not None
    for document in documents_of(reading, task.units, sample, counts, dropped):
        builder.add(document)
        if builder.num_tokens >= TOKENS_OF_A_PART:
            write(builder)
            builder = PartBuilder(common.sentences, encoder, shingle)
    write(builder)
    if dropped.documents:
        journal.record(task.dropping, dropped.as_json())
    record = {
        "parts": parts,
        "text_bytes": text_bytes,
        "characters": {**characters, "altered": altered.total()},
        "altered": dict(altered.most_common(SHOWN)),
        "words": words,
        "counts": dict(counts),
        "excerpts": excerpts,
    }
    journal.record(task.step, record)
    sample.unlink(missing_ok=True)
    return record


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What all tasks of the splitting step have in common."""

    folder: Location
    vocab_size: int
    remove_duplicates: bool
    heldout_below: int  # documents whose hash lies below are held out
    heldout_parts: Sequence[str]  # files of what is held out as a whole
    drop_near_duplicates: bool


class PlacedPart(NamedTuple):
    file: str
    first_line: int  # its index among the lines of the corpus
    first_document: int  # and among its documents, of which those come first that are held out as a whole


class CuttingTask(NamedTuple):
    number: int
    parts: list[PlacedPart]
    heldout: bool = False  # as a whole


def cut_shard(common: Cutting, task: CuttingTask) -> None:
    """Makes one training shard of some parts, and a piece of the held-out documents among them."""
    work = Journal(common.folder).work
    piece = heldout_piece(common.folder, task.number)
    if piece.exists():
        return
    train: list[tuple[np.ndarray, ...]] = []
    heldout: list[tuple[np.ndarray, ...]] = []
    for file, first_line, first_document in task.parts:
        part = read_part(work / file)
        kept = np.ones(len(part.line_hashes), bool)
        if task.heldout:
            heldout += kept_documents(part, kept, np.ones(len(part.document_hashes), bool))
            continue
        if common.remove_duplicates:
            kept = ~duplicated_positions(_lines(work), first_line, first_line + len(kept))
        held = part.document_hashes < np.uint64(common.heldout_below)
        known = np.isin(part.document_hashes, heldout_hashes(work, tuple(common.heldout_parts)))
        left = np.ones(len(held), bool)
        if common.drop_near_duplicates:
            left = without_near_duplicate(work, first_document, first_document + len(held))
        train += kept_documents(part, kept, left & ~held & ~known)
        heldout += kept_documents(part, kept, left & held)
    path = common.folder / f"train-{task.number:05d}.arrow"
    if train and not path.exists():  # it may stand already, when the task was killed before the line below
        write_shard(path, train, common.vocab_size)
    write_shard(piece, heldout, common.vocab_size)  # last: its presence says that this task is done


def _lines(work: Location) -> Path:
    """The folder that tells which lines are duplicates, on this machine."""
    return local_copy(work / "lines") if isinstance(work, RemotePath) else work / "lines"


def heldout_piece(folder: Location, number: int) -> Location:
    return Journal(folder).work / f"heldout-{number:05d}.arrow"


class MergingTask(NamedTuple):
    number: int
    pieces: list[Location]


def merge_heldout(common: Cutting, task: MergingTask) -> None:
    """Makes one held-out shard of some pieces."""
    path = common.folder / f"heldout-{task.number:05d}.arrow"
    if path.exists():
        return
    documents: list[tuple[np.ndarray, ...]] = []
    for piece in task.pieces:
        tokens, sentences, offsets, continues = read_shard(piece)
        for first, last in pairwise(offsets):
            lengths = np.diff(sentences[first : last + 1]).astype(np.int32)
            place = slice(sentences[first], sentences[last])
            documents.append((tokens[place], lengths, *([] if continues is None else [continues[place]])))
    write_shard(path, documents, common.vocab_size)


class ShardMeasure(NamedTuple):
    info: ShardInfo
    token_counts: np.ndarray  # (V,) int64
    sentence_lengths: np.ndarray  # (len(LENGTH_BINS) - 1,) int64
    one_sentence_documents: int


def measure_shard(vocab_size: int, path: Location) -> ShardMeasure:
    """Counts what a shard holds."""
    content = (
        pa.py_buffer(path.read_bytes()) if isinstance(path, RemotePath) else pa.memory_map(str(path)).read_buffer()
    )
    tokens, sentences, documents, _ = read_shard(path, content)
    info = ShardInfo(
        file=path.name,
        documents=len(documents) - 1,
        sentences=len(sentences) - 1,
        tokens=len(tokens),
        bytes=content.size,
        sha256=sha256(content).hexdigest(),
    )
    histogram, _ = np.histogram(np.diff(sentences), bins=LENGTH_BINS)
    single = int(np.count_nonzero(np.diff(documents) == 1))
    return ShardMeasure(info, np.bincount(tokens, minlength=vocab_size), histogram, single)
