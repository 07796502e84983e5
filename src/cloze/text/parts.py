"""Parts: the output of a worker for its unit of the corpus, before deduplication and sharding.

A part is a shard with three more columns, by which lines can still be distinguished: for each line of a document its
hash and the number of sentences it gave, and for each document its hash.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from cloze.files.remote import Location
from cloze.text.documents import Document, SentenceSplitter
from cloze.text.encoding import NOTHING_LOST, WordEncoder
from cloze.text.near_duplicates.signatures import signature
from cloze.text.shards import Shard, flatten, list_column, read_table, shard_of, word_column, write_table


class Part(NamedTuple):
    """The documents of a part, d of them with l lines."""

    shard: Shard
    line_hashes: np.ndarray  # (l,) uint64
    line_sentences: np.ndarray  # (l,) int32: how many sentences each line gave
    line_offsets: np.ndarray  # (d+1,) int32: document j is lines line_offsets[j]:line_offsets[j+1]
    document_hashes: np.ndarray  # (d,) uint64


class Excerpt(NamedTuple):
    """How a document begins, as it was written: ids do not tell capitals, spaces and rare characters.

    In place of a sentence that is longer than a sample may be, there is an empty one.
    """

    document_hash: int
    sentences: list[str]


EXCERPTED_SENTENCES = 40
"""Of each document at most, and of a task about this many, whatever its size: some kilobytes."""

LONGEST_EXCERPTED = 300
"""Characters of a sentence."""


def likeliest_heldout(excerpts: Iterable[Excerpt]) -> list[Excerpt]:
    """Those of the documents with the lowest hashes, which are held out first."""
    kept: list[Excerpt] = []
    count = 0
    for excerpt in sorted(excerpts):
        if count >= EXCERPTED_SENTENCES:
            break
        kept.append(excerpt)
        count += len(excerpt.sentences)
    return kept


class PartBuilder:
    """Collects encoded documents and writes them as one part."""

    def __init__(self, splitter: SentenceSplitter, encoder: WordEncoder, shingle: int | None = None) -> None:
        """Begin a part; `shingle` words are hashed together for signatures, with None there are none."""
        self._splitter, self._encoder, self._shingle = splitter, encoder, shingle
        self.signatures: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []
        self._continues: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._line_hashes: list[np.ndarray] = []
        self._line_sentences: list[np.ndarray] = []
        self._document_hashes: list[int] = []
        self.num_tokens = 0
        self.num_lines = 0
        self.text_bytes = 0
        self.excerpts: list[Excerpt] = []
        self._highest_excerpted = 1 << 64  # above all hashes, until there are enough
        self.characters: Counter[str] = Counter()  # all but white space, and of them those lost to [UNK]
        self.altered: Counter[str] = Counter()  # letters that normalisation alters
        self.num_words = 0  # between blanks

    @property
    def num_documents(self) -> int:
        return len(self._document_hashes)

    def tokens(self) -> np.ndarray:
        """(tokens,) of all documents so far, one after the other."""
        return np.concatenate([np.zeros(0, self._encoder.dtype), *self._tokens])

    def add(self, document: Document) -> None:
        """Splits, encodes and hashes a document; one without a single token is left out."""
        itemsize = self._encoder.dtype.itemsize
        sentences: list[bytes] = []
        continues: list[np.ndarray] = []
        texts: list[str] = []
        counts: list[int] = []
        digests: list[bytes] = []
        for line in document.lines:
            raw = line.encode()
            self.text_bytes += len(raw)
            digests.append(blake2b(raw, digest_size=8).digest())
            cut = self._splitter.split(line)
            if len(texts) < EXCERPTED_SENTENCES:
                texts += cut[: EXCERPTED_SENTENCES - len(texts)]
            written = spaced(line, cut, is_first=not counts) if self._encoder.joins else cut
            encoded = [ids for sentence in written if (ids := self._encode(sentence))]
            if self._encoder.words is not None:
                continues += map(self._encoder.continuations, written)
            words = line.split()
            self.num_words += len(words)
            self.characters["all"] += sum(map(len, words))
            self.altered.update(self._encoder.altered.found(line))
            sentences += encoded
            counts.append(len(encoded))
        if not sentences:
            return
        if self._encoder.words is not None:
            self._continues.append(np.concatenate(continues))
        joined = b"".join(digests)
        self._tokens.append(np.frombuffer(b"".join(sentences), self._encoder.dtype))
        self._lengths.append(np.fromiter(map(len, sentences), np.int32, len(sentences)) // itemsize)
        self._line_hashes.append(np.frombuffer(joined, "<u8"))
        self._line_sentences.append(np.array(counts, np.int32))
        self._document_hashes.append(int.from_bytes(blake2b(joined, digest_size=8).digest(), "little"))
        self._excerpt(self._document_hashes[-1], texts)
        if self._shingle is not None:
            self.signatures.append(signature(document.lines, self._shingle))
        self.num_tokens += len(self._tokens[-1])
        self.num_lines += len(counts)

    def _excerpt(self, document_hash: int, texts: list[str]) -> None:
        if document_hash > self._highest_excerpted:
            return
        short = [text if len(text) <= LONGEST_EXCERPTED else "" for text in texts]
        self.excerpts = likeliest_heldout([*self.excerpts, Excerpt(document_hash, short)])
        if sum(len(excerpt.sentences) for excerpt in self.excerpts) >= EXCERPTED_SENTENCES:
            self._highest_excerpted = self.excerpts[-1].document_hash

    def _encode(self, sentence: str) -> bytes:
        ids = self._encoder.encode(sentence)
        if (lost := self._encoder.lost(sentence, ids)) is not NOTHING_LOST:
            self.characters.update(lost._asdict())
        return ids

    def write(self, path: Location, vocab_size: int) -> None:
        columns = {
            "tokens": list_column(self._tokens, self._encoder.dtype),
            "sentence_lengths": list_column(self._lengths, np.dtype(np.int32)),
            "line_hashes": list_column(self._line_hashes, np.dtype(np.uint64)),
            "line_sentences": list_column(self._line_sentences, np.dtype(np.int32)),
            "document_hash": pa.array(np.array(self._document_hashes, np.uint64)),
            **word_column(self._continues),
        }
        write_table(path, columns, vocab_size)


def spaced(line: str, sentences: Sequence[str], *, is_first: bool) -> list[str]:
    r"""The sentences of a line, each with what stands before it, for tokenizers in which a space belongs to a token.

    The text of a document is its lines with a line feed between them, without the white space around each. The tokens
    of its sentences, one after the other, are then those of the text, but where a rule of the tokenizer reaches from
    one sentence into the next: of ``".\n"``, which Llama 3 reads as one, this makes two tokens.

    Args:
        line: as the document has it.
        sentences: of it, in order.
        is_first: whether the line begins the document.

    >>> spaced(" A b.  C d.", ["A b.", "C d."], is_first=False)
    ['\nA b.', '  C d.']
    """
    found, end = [], -1
    for sentence in sentences:
        begin = line.find(sentence, max(end, 0))
        if end < 0:
            before = "" if is_first else "\n"
        else:
            before = line[end:begin] if begin >= 0 else " "  # which a splitter of the user's own has altered
        found.append(before + sentence)
        end = max(begin, end, 0) + (len(sentence) if begin >= 0 else 0)
    return found


def read_part(path: Location) -> Part:
    """Maps a part into memory."""
    batch = read_table(path)
    line_hashes, line_offsets = flatten(batch.column("line_hashes"))
    line_sentences, _ = flatten(batch.column("line_sentences"))
    document_hashes = batch.column("document_hash").to_numpy(zero_copy_only=True)
    return Part(shard_of(batch, path), line_hashes, line_sentences, line_offsets, document_hashes)


def read_hashes(path: Location) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hashes of a part's lines, the offsets of its documents' lines, and the hashes of its documents."""
    batch = read_table(path, columns=(2, 4))  # of a store nothing else is read
    return *flatten(batch.column("line_hashes")), batch.column("document_hash").to_numpy(zero_copy_only=True)


def kept_documents(part: Part, kept_lines: np.ndarray, chosen: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """The chosen documents, as `write_shard` takes them, without the lines that are not kept.

    Args:
        part: the part.
        kept_lines: (l,) bool.
        chosen: (d,) bool.

    Returns:
        One tuple a document, in order; documents of which nothing is left are not among them.
    """
    tokens, sentence_offsets, document_offsets, continues = part.shard
    kept_sentences = np.repeat(kept_lines, part.line_sentences)  # (s,)
    lengths = np.diff(sentence_offsets)
    documents: list[tuple[np.ndarray, ...]] = []
    for document in np.flatnonzero(chosen):
        first, last = document_offsets[document], document_offsets[document + 1]
        kept = kept_sentences[first:last]
        place = slice(sentence_offsets[first], sentence_offsets[last])
        own = [tokens[place]] if continues is None else [tokens[place], continues[place]]
        own_lengths = lengths[first:last]
        if not kept.all():
            own = [each[np.repeat(kept, own_lengths)] for each in own]
            own_lengths = own_lengths[kept]
        if len(own_lengths):
            documents.append((own[0], own_lengths.astype(np.int32), *own[1:]))
    return documents
