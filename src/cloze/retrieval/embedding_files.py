"""The files that `cloze-embed` writes, as they are read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloze.checkpoint.fingerprint import fingerprint
from cloze.checkpoint.pretrained import Pretrained
from cloze.errors import InputError
from cloze.retrieval.quantization import Quantization

EMBEDDING, RECORD = "embedding", b"cloze"
"""The column of the embeddings, and the key of the file's metadata that says which model made them."""
ROWS_AT_ONCE = 16384


def opened(path: Path, *, key: str) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """A file of embeddings, and which model made it.

    Raises:
        InputError: it is none.
    """
    if not path.is_file():
        raise InputError(f"{key}={path}: there is no such file; make one by cloze-embed model= input= output={path}")
    try:
        file = pq.ParquetFile(path)
        return file, json.loads((file.schema_arrow.metadata or {})[RECORD])
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{key}={path}: is no Parquet file that cloze-embed has written; make it anew") from error


def is_embedded(path: Path) -> bool:
    """Whether a file is one of `cloze-embed`, of which the embeddings can be read."""
    return path.suffix == ".parquet" and path.is_file() and RECORD in (pq.read_schema(path).metadata or {})


def blocks_of(file: pq.ParquetFile, made: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """The embeddings of a file, (B, D) float32 at once.

    Args:
        file: of `cloze-embed`.
        made: what it says of itself.
    """
    quantization = Quantization.from_record(made)
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=[EMBEDDING]):
        values = batch.column(0).flatten().to_numpy(zero_copy_only=False, writable=True)
        yield quantization.restored(values.reshape(len(batch), -1))


def refuse_other(found: Pretrained, made: Mapping[str, Any], said: str) -> None:
    """Refuse embeddings of another model.

    Raises:
        InputError: another one made them.
    """
    if fingerprint(found) != made["fingerprint"]:
        raise InputError(
            f"{said} was made with another model than {found.folder}: give model= the one that made it, or make the "
            "file anew"
        )
