"""`cloze-embed`: the embeddings of a table's texts as a file, part by part, so that a killed run resumes."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cloze.checkpoint.fingerprint import fingerprint
from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.schema import EmbeddedColumns, Embeddings
from cloze.data.extraction.chunks import Chunk, Chunks
from cloze.data.extraction.feature_files import feature_files
from cloze.data.extraction.features import (
    LONGEST_BYTES,
    PART_BYTES,
    FeatureWriter,
    Outcome,
    input_identity,
    resumable,
)
from cloze.data.extraction.options import Level, Sizes
from cloze.data.extraction.partial import PartialFeatures, PartialPart
from cloze.data.extraction.text_tokens import RowText, TextEncoder, TextTokens
from cloze.data.finetuning.items import TokenSequence
from cloze.data.tables.cells import text_of
from cloze.data.tables.columns import cell_of
from cloze.data.tables.formats import STANDARD_INPUT, TableFormat
from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference, checked_model
from cloze.retrieval.embedding_files import EMBEDDING, RECORD, opened
from cloze.retrieval.quantization import Quantization, check_dimension
from cloze.run.folder import warn
from cloze.runtime.spinner import waiting
from cloze.runtime.wording import counted
from cloze.text.progress import LiveCount

SUFFIXES = (".parquet", ".npy")
QUANTIZATION = "quantization"
"""The record of the ranges that the first part has, by which all are quantised."""


def embed(config: Embeddings) -> None:
    """Write the embedding of each row of an input, in its order; memory holds some thousand rows.

    Args:
        config: the root of `conf/embed.yaml`.

    Raises:
        InputError: for what only the input, the model, the machine or the output's place can show to be wrong.
    """
    source, output = _checked(config)
    identity = input_identity(source)
    folder = checked_model(config.hardware, config.model)
    with waiting("reading the model"):
        found = read_pretrained(folder)
        embedder = Embedder.of(
            found, Inference.on(config.hardware), max_length=config.max_length, dimension=config.dimension
        )
    check_dimension(config.quantize, embedder.dimension)
    prompt = {"query": embedder.query_prompt, "passage": embedder.passage_prompt}.get(config.prompt, config.prompt)
    made = {"model": str(folder), "fingerprint": fingerprint(found), "dimension": embedder.dimension}
    asked = {
        "input": identity,
        "options": {
            **{name: getattr(embedder, name) for name in ("max_length", "dimension", "include_prompt")},
            "columns": asdict(config.columns),
            "on_bad_row": config.on_bad_row,
            "prompt": prompt,
            "quantize": config.quantize,
        },
        "model": {"folder": made["model"], "fingerprint": made["fingerprint"], "pooling": repr(found.adaptation)},
        "hardware": config.hardware.of_results,
    }
    with resumable(output, asked) as partial:
        vectors = EmbeddingExtractor(embedder, prompt, config.quantize, partial)
        outcome = _write(config, source, vectors, made)
    if config.quantize is not None:
        loss = opened(output, key="output")[1]["loss"]
        lost = ", ".join(f"{name} {value:.4g}" for name, value in loss.items())
        print(f"quantize={config.quantize}, compared with float32: {lost}", flush=True)
    left_out = {f"rows left out: {kind}": count for kind, count in outcome.left_out.items()}
    for told, count in sorted({**left_out, **outcome.notes}.items()):
        warn(f"{count:,} {told}")
    if outcome.resumed:
        print(f"{output}: {counted(outcome.resumed, 'texts')} already there", file=sys.stderr)
    print(f"{output}: {outcome.texts:,} embeddings of {embedder.dimension} numbers", flush=True)


def _checked(config: Embeddings) -> tuple[str, Path]:
    """The input and the output."""
    if config.input is None or config.output is None:
        raise InputError("cloze-embed needs input= and output=: files with the texts and for their embeddings")
    output = Path(config.output)
    if output.suffix not in SUFFIXES:
        raise InputError(f"output={output}: must end in {' or '.join(SUFFIXES)}")
    if config.quantize is not None and output.suffix != ".parquet":
        raise InputError(f"quantize={config.quantize}: needs output=NAME.parquet, which says how to read it")
    return config.input, output


def _write(config: Embeddings, source: str, vectors: "EmbeddingExtractor", made: Mapping[str, Any]) -> Outcome:
    embedder, partial = vectors.embedder, vectors.partial
    sizes = Sizes(max_length=embedder.max_length, long_texts="truncate")
    encoder = TextEncoder(tokenizer=embedder.tokenizer, sizes=sizes, wants_places=False)
    chunks = Chunks(
        reader=NamedTexts(config.columns),
        encoder=PromptedEncoder(encoder, vectors.prompt),
        bytes_of=lambda _: 4 * embedder.dimension,
        most_bytes=PART_BYTES,
        longest_bytes=LONGEST_BYTES,
        on_bad_row=config.on_bad_row,
        counts=Counter(),
    )
    with LiveCount() as live:
        writer = FeatureWriter(
            chunks=chunks,
            extractor=vectors,
            tables=NamesAndTexts(vectors, made),
            files=feature_files(partial, as_folder=False),
            partial=partial,
            tell=lambda texts, _: live(rows=texts),
            resumes_parts=source != STANDARD_INPUT,
        )
        return writer.write_table(source, TableFormat())


@dataclass(frozen=True)
class NamedTexts:
    """Takes the text and its name out of a row; without a name it is the number of the row."""

    columns: EmbeddedColumns

    def read(self, cells: Mapping[str, Any]) -> RowText:
        """The text of a row.

        Raises:
            BadRowError: it has none, or not the column that the names are in.
        """
        text = text_of(cell_of(cells, self.columns.text or "text", "text"), "text")
        name = cells.get("id") if self.columns.id is None else cell_of(cells, self.columns.id, "id")
        return RowText(text, None, None if name is None else str(name), None)


@dataclass(frozen=True)
class PromptedEncoder:
    """Texts to their tokens, behind a prompt."""

    encoder: TextEncoder
    prompt: str

    def encode(self, rows: Sequence[RowText]) -> list[TextTokens]:
        """The tokens of each row, in their order."""
        return self.encoder.encode([row._replace(text=f"{self.prompt}{row.text}") for row in rows])


@dataclass(frozen=True)
class EmbeddingExtractor:
    """An embedding model as an extractor of the one result ``embedding``, as it is stored.

    Attributes:
        embedder: the model.
        prompt: before each text.
        quantize: how embeddings are stored.
        partial: where the ranges of the first part are kept for the others.
    """

    embedder: Embedder
    prompt: str
    quantize: Any
    partial: PartialFeatures
    level: Level = "mean"

    @property
    def quantization(self) -> dict[str, Any] | None:
        """The record of how embeddings are stored, and what that loses; None before the first part."""
        return self.partial.recorded(QUANTIZATION, loss=dict)

    def row_counts(self, texts: Sequence[TextTokens]) -> np.ndarray:
        """(texts,) ones."""
        return np.ones(len(texts), np.int64)

    def extract(self, texts: Sequence[TextTokens], begun: PartialPart) -> dict[str, np.ndarray]:
        """The embeddings of the texts of a part."""
        sequences = [TokenSequence(text.ids, text.segments) for text in texts]
        vectors = self.embedder.embed_sequences(sequences, prompt=self.prompt, begun=begun)
        if (record := self.quantization) is None:
            first = Quantization.of(self.quantize, vectors)
            record = {**first.as_record(), "loss": first.loss(vectors) if self.quantize else {}}
            self.partial.record(QUANTIZATION, record)
        return {EMBEDDING: Quantization.from_record(record).stored(vectors)}


@dataclass(frozen=True)
class NamesAndTexts:
    """Makes the table of each chunk: the columns id and text, and in Parquet a record of what made the embeddings."""

    vectors: EmbeddingExtractor
    made: Mapping[str, Any]

    def table(self, chunk: Chunk) -> pa.Table:
        """One row a text."""
        pairs = zip(chunk.numbers, chunk.rows, strict=True)
        names = [str(number) if row.id is None else row.id for number, row in pairs]
        texts = [str(row.text) for row in chunk.rows]
        table = pa.table({"id": pa.array(names, pa.string()), "text": pa.array(texts, pa.string())})
        if self.vectors.partial.output.suffix != ".parquet":
            return table
        record = json.dumps({**self.made, **(self.vectors.quantization or {})})
        return table.replace_schema_metadata({RECORD: record.encode()})
