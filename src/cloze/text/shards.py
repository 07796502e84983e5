"""Shards: tokenised documents in Arrow IPC files, read by memory mapping.

A shard is an Arrow IPC *file* of one record batch, one record a document: ``tokens: list<uint16|uint32>`` (no special
tokens) and ``sentence_lengths: list<int32>``; where a segmenter found the words, also ``word_bits: list<uint8>``, a bit
a token, most significant first, that says whether it continues the word of the token before it. pandas, Polars, DuckDB
and ``datasets`` read it as any other table.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.remote import Location, RemotePath

FORMAT = 1
"""Version of the layout; files of another version are refused."""


WORD_BITS = "word_bits"


class Shard(NamedTuple):
    """A shard's documents as flat arrays; ``tokens`` is a view of the mapped file."""

    tokens: np.ndarray  # (n,) uint16 | uint32: the tokens of all documents
    sentence_offsets: np.ndarray  # (s+1,) int64: sentence i is tokens[sentence_offsets[i]:sentence_offsets[i+1]]
    document_offsets: np.ndarray  # (d+1,) int64: document j is sentences document_offsets[j]:document_offsets[j+1]
    continues: np.ndarray | None = None  # (n,) bool: tokens that continue a word, where a segmenter found the words


def token_dtype(vocab_size: int) -> np.dtype:
    """The narrowest type of token that the format has for this vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def write_shard(path: Location, documents: Sequence[tuple[np.ndarray, ...]], vocab_size: int) -> None:
    """Writes one shard, atomically.

    Args:
        path: the file.
        documents: for each document its tokens (n,) and the lengths of its sentences (s,), which sum to n; and for
            all or none (n,) bool, which tokens continue a word.
        vocab_size: tokens lie below it; decides their type.
    """
    columns = {
        "tokens": list_column([document[0] for document in documents], token_dtype(vocab_size)),
        "sentence_lengths": list_column([document[1] for document in documents], np.dtype(np.int32)),
    }
    columns |= word_column([document[2] for document in documents if len(document) > 2])
    write_table(path, columns, vocab_size)


def word_column(continues: Sequence[np.ndarray]) -> "dict[str, pa.ListArray[Any]]":
    """The column of the tokens that continue a word, of each document; none where there are none."""
    packed = [np.packbits(each.astype(np.bool_)) for each in continues]
    return {WORD_BITS: list_column(packed, np.dtype(np.uint8))} if packed else {}


def read_shard(path: Location, content: pa.Buffer | None = None) -> Shard:
    """Maps a shard into memory; tokens are not copied. Of a store it is read as a whole, if `content` is not that.

    Raises:
        InputError: the file is missing, truncated, corrupt, not a shard, or of another version.
    """
    return shard_of(read_table(path, content=content), path)


def joined(shards: Sequence[Shard]) -> Shard:
    """The documents of all, one after the other, as one shard; of a single one the very arrays."""
    if len(shards) == 1:
        return shards[0]
    tokens = np.concatenate([shard.tokens for shard in shards])
    continues = [shard.continues for shard in shards if shard.continues is not None]
    tokens.flags.writeable = False  # as those of a file: what is compiled for them serves these, too
    return Shard(
        tokens,
        _end_to_end([shard.sentence_offsets for shard in shards]),
        _end_to_end([shard.document_offsets for shard in shards]),
        np.concatenate(continues) if len(continues) == len(shards) else None,
    )


def _end_to_end(offsets: Sequence[np.ndarray]) -> np.ndarray:
    """Offsets into arrays that have been joined, from the offsets into each: all begin at 0."""
    begins = np.cumsum([0, *(each[-1] for each in offsets)])
    return np.concatenate([[0], *(each[1:] + begin for each, begin in zip(offsets, begins, strict=False))])


def list_column(values: Sequence[np.ndarray], dtype: np.dtype) -> "pa.ListArray[Any]":
    """A column of lists of different lengths, one a record."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    flat = np.concatenate(values, dtype=dtype, casting="same_kind") if len(values) else np.empty(0, dtype)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat, pa.from_numpy_dtype(dtype)))


def flatten(column: "pa.Array[Any]") -> tuple[np.ndarray, np.ndarray]:
    """The values of a list column and the offsets (d+1,) of its records, both without a copy.

    Raises:
        ValueError: there are no values at some positions, or they are no numbers.
    """
    assert isinstance(column, pa.ListArray)
    try:  # not to_numpy, which imports pandas where that is installed
        return np.from_dlpack(column.values), np.from_dlpack(column.offsets)
    except (TypeError, BufferError) as error:
        raise ValueError(str(error)) from error


def write_table(path: Location, columns: "Mapping[str, pa.Array[Any]]", vocab_size: int) -> None:
    """Writes columns as an Arrow IPC file of one record batch."""
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in columns.items()],
        metadata={"cloze.format": str(FORMAT), "cloze.vocab_size": str(vocab_size)},
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))
    write_atomically(path, sink.getvalue())


def open_arrow(
    path: Location, columns: Sequence[int] = (), content: pa.Buffer | None = None
) -> pa.RecordBatchFileReader:
    """Opens an Arrow IPC file: mapped into memory; of a store, read by need, or only the columns of these numbers."""
    if content is not None:
        return pa.ipc.open_file(pa.BufferReader(content))
    if isinstance(path, RemotePath):
        options = pa.ipc.IpcReadOptions(included_fields=list(columns))
        return pa.ipc.open_file(path.open(), options=options)
    return pa.ipc.open_file(pa.memory_map(str(path)))


def read_table(path: Location, columns: Sequence[int] = (), content: pa.Buffer | None = None) -> pa.RecordBatch:
    """Maps an Arrow IPC file of one record batch and checks that it is one of ours, and whole."""
    try:
        reader = open_arrow(path, columns, content)
        version = (reader.schema.metadata or {}).get(b"cloze.format", b"").decode()
        batch = reader.get_batch(0) if reader.num_record_batches == 1 else None
        if batch is not None:
            batch.validate(full=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: this shard is missing; prepare the corpus again into an empty folder") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable shard, it is truncated or corrupt ({str(error).splitlines()[0]}); "
            "copy it again from where it was prepared, or prepare the corpus again"
        ) from error
    if version != str(FORMAT) or batch is None:
        found = f"version {version}" if version else "another kind of Arrow file"
        raise InputError(f"{path}: expected a shard of version {FORMAT}, found {found}; prepare the corpus again")
    return batch


def shard_of(batch: pa.RecordBatch, path: Location) -> Shard:
    """The flat arrays of a table that has a shard's columns; `path` is for messages."""
    try:
        tokens, token_offsets = flatten(batch.column("tokens"))
        lengths, document_offsets = flatten(batch.column("sentence_lengths"))
        vocab_size = int(batch.schema.metadata[b"cloze.vocab_size"])
    except (KeyError, AssertionError, ValueError) as error:
        raise InputError(f"{path}: does not have the columns of a shard ({error}); prepare the corpus again") from error
    sentence_offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=sentence_offsets[1:])
    if not np.array_equal(sentence_offsets[document_offsets], token_offsets):
        raise InputError(f"{path}: its sentence lengths do not add up to its tokens; prepare the corpus again")
    # One pass over the mapped tokens (milliseconds): flipped bits end here, not inside an embedding kernel.
    if len(tokens) and int(tokens.max()) >= vocab_size:
        raise InputError(f"{path}: holds tokens beyond its vocabulary of {vocab_size}; prepare the corpus again")
    continues = _continues(batch, token_offsets, path) if WORD_BITS in batch.schema.names else None
    return Shard(tokens, sentence_offsets, document_offsets.astype(np.int64), continues)


def _continues(batch: pa.RecordBatch, token_offsets: np.ndarray, path: Location) -> np.ndarray:
    """(n,) bool of the column with a bit a token."""
    bits, begins = flatten(batch.column(WORD_BITS))
    lengths = np.diff(token_offsets)
    if not np.array_equal(-(-lengths // 8), np.diff(begins)):
        raise InputError(f"{path}: its marks of words do not fit its tokens; prepare the corpus again")
    # Each document begins a byte: of its last byte some bits stand for nothing.
    found = np.unpackbits(bits).view(np.bool_)
    places = np.arange(int(lengths.sum())) + np.repeat(8 * begins[:-1].astype(np.int64) - token_offsets[:-1], lengths)
    return np.asarray(found[places])
