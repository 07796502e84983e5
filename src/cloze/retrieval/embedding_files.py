"""`cloze-embed`: the embeddings of a table's texts as a file."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloze.checkpoint.fingerprint import fingerprint
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.config.schema import Embeddings
from cloze.data.tables.cells import text_of
from cloze.data.tables.columns import cell_of
from cloze.data.tables.formats import TableFormat
from cloze.data.tables.stream import StreamRow, leave_out, stream_rows
from cloze.errors import BadRowError, InputError
from cloze.files.atomic import written_beside
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference, checked_model, chunks
from cloze.retrieval.quantization import Quantization, check_dimension
from cloze.run.folder import warn
from cloze.runtime.spinner import waiting
from cloze.text.progress import LiveCount

EMBEDDING, RECORD = "embedding", b"cloze"
"""The column of the embeddings, and the key of the file's metadata that says which model made them."""
ROWS_AT_ONCE = 16384
Write = Callable[[list[str], list[str], np.ndarray], None]
"""Of names, texts and embeddings (rows, D)."""


def embed(config: Embeddings) -> None:
    """Write the embedding of each row of an input, in its order; memory holds some thousand rows.

    Args:
        config: the root of `conf/embed.yaml`.

    Raises:
        InputError: for what only the input, the model or the machine can show to be wrong.
    """
    if config.input is None or config.output is None:
        raise InputError("cloze-embed needs input= and output=: files with the texts and for their embeddings")
    output = Path(config.output)
    if output.suffix not in WRITERS:
        raise InputError(f"output={output}: must end in {' or '.join(WRITERS)}")
    if config.quantize is not None and output.suffix != ".parquet":
        raise InputError(f"quantize={config.quantize}: needs output=NAME.parquet, which says how to read it")
    folder = checked_model(config.hardware, config.model)
    counts: Counter[str] = Counter()
    with waiting("reading the model"):
        found = read_pretrained(folder)
        embedder = Embedder.of(
            found, Inference.on(config.hardware), max_length=config.max_length, dimension=config.dimension
        )
    check_dimension(config.quantize, embedder.dimension)
    prompt = {"query": embedder.query_prompt, "passage": embedder.passage_prompt}.get(config.prompt, config.prompt)
    rows = stream_rows(config.input, TableFormat(), on_bad_row=config.on_bad_row, counts=counts)

    def embedded() -> Iterator[tuple[list[str], list[str], np.ndarray]]:
        for chunk in chunks(rows):
            names, texts = _texts(chunk, config, counts)
            yield names, texts, embedder.embed(texts, prompt=prompt)

    parts = embedded()
    nothing: tuple[list[str], list[str], np.ndarray] = ([], [], np.zeros((0, embedder.dimension), np.float32))
    first = next(parts, nothing)
    quantization = Quantization.of(config.quantize, first[2])
    made = {"model": str(folder), "fingerprint": fingerprint(found), "dimension": embedder.dimension}
    record = {RECORD: json.dumps({**made, **quantization.as_record()}).encode()}
    live, done = LiveCount(), 0
    output.parent.mkdir(parents=True, exist_ok=True)
    like = quantization.stored(first[2])
    with written_beside(output) as partial, WRITERS[output.suffix](partial, like, record) as write, live:
        for names, texts, vectors in chain([first], parts):
            write(names, texts, quantization.stored(vectors))
            done += len(names)
            live(rows=done)
    if config.quantize is not None:
        lost = ", ".join(f"{name} {value:.4g}" for name, value in quantization.loss(first[2]).items())
        print(f"quantize={config.quantize}, compared with float32: {lost}", flush=True)
    for told, count in sorted(
        {**{f"rows left out: {kind}": n for kind, n in counts.items()}, **embedder.counts}.items()
    ):
        warn(f"{count:,} {told}")
    print(f"{output}: {done:,} embeddings of {embedder.dimension} numbers", flush=True)


def _texts(chunk: list[StreamRow], config: Embeddings, counts: Counter[str]) -> tuple[list[str], list[str]]:
    """The names and the texts of rows, without bad ones, which are counted.

    Raises:
        InputError: a row is bad.
    """
    names, texts = [], []
    for row in chunk:
        try:
            text = text_of(cell_of(row.cells, config.columns.text or "text", "text"), "text")
            name = row.cells.get(config.columns.id or "id", row.number)
            names.append(str(name))
            texts.append(text)
        except BadRowError as bad:
            leave_out(bad, row.where, config.on_bad_row, counts)
    return names, texts


@contextmanager
def _parquet(file: Path, like: np.ndarray, record: Mapping[bytes, bytes]) -> Iterator[Write]:
    """A table with the columns id, text and embedding."""
    width = like.shape[1]
    vectors = pa.list_(pa.from_numpy_dtype(like.dtype), width)
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), (EMBEDDING, vectors)], metadata=dict(record))
    with pq.ParquetWriter(file, schema) as writer:

        def write(names: list[str], texts: list[str], found: np.ndarray) -> None:
            column = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), width)
            writer.write_table(pa.table([pa.array(names), pa.array(texts), column], schema=schema))

        yield write


@contextmanager
def _npy(file: Path, like: np.ndarray, _: Mapping[bytes, bytes]) -> Iterator[Write]:
    """An array (rows, D), which can be mapped; its number of rows is known at the end only."""
    rows, width = 0, like.shape[1]

    def head() -> dict[str, object]:
        return {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}

    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, head())
        begin = stream.tell()

        def write(__: list[str], ___: list[str], found: np.ndarray) -> None:
            nonlocal rows
            rows += len(found)
            stream.write(found.astype("<f4").tobytes())

        yield write
        stream.seek(0)
        np.lib.format.write_array_header_1_0(stream, head())
        if stream.tell() != begin:
            raise RuntimeError("the header has grown")


WRITERS = {".parquet": _parquet, ".npy": _npy}


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
