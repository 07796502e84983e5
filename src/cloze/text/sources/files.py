"""Text files: plain text, Markdown, JSON, CSV, TSV, Parquet and FASTA, by name or pattern."""

import glob
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, get_args

from cloze.errors import InputError
from cloze.files.remote import RemotePath, is_remote, location, matches, size_of
from cloze.text.documents import Document, Unit
from cloze.text.sources import fasta, jsonl, markdown, parquet, plain
from cloze.text.sources.delimited import Quoting
from cloze.text.sources.json_rows import head_of, is_document
from cloze.text.sources.lines import LineDecoder, endings, open_text, raw_lines
from cloze.text.sources.tables import TextColumn

Format = Literal["text", "markdown", "jsonl", "csv", "tsv", "parquet", "fasta"]
FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    **dict.fromkeys((".fasta", ".fa", ".fna", ".ffn", ".faa", ".frn"), "fasta"),
}
# What a compressed file holds is not known before it is read; text shrinks to about a third.
COMPRESSION_RATIO = 3
WHOLLY_HASHED = 256 << 20
BLOCK = 1 << 16
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class TextFiles:
    """Documents from files of text.

    Large ``.txt`` and ``.jsonl`` files are split into byte ranges and Parquet files into row groups, so that workers
    share them; a compressed file, a list in JSON, a table of CSV or TSV and a FASTA file is one unit, read as a stream.
    A document belongs to the range its first line begins in.

    Attributes:
        files: paths and patterns (``*``, ``?``, ``[...]``, ``**`` for folders in folders), also ``s3://bucket/...``.
        format: how to read the files; None goes by each file's suffix, before ``.gz``, ``.xz`` or ``.zst``. Of JSON a
            file has an object a line, or a list of them, or a list under ``data``.
        field: the key of JSON or the column of CSV, TSV and Parquet that holds the text; in CSV and TSV also a number
            from 0.
        delimiter: between two cells; auto is a comma in CSV and a tab in TSV.
        quoting: whether the cells of CSV and TSV may stand in double quotes; auto says so unless the delimiter is a
            tab.
        header: whether the first row of CSV and TSV names the columns.
        document_boundary: what ends a document of a ``.txt`` file: a blank line, each line, or the end of the file.
        document_start: a regular expression that matches at the beginning of the first line of a document of a ``.txt``
            file; it replaces `document_boundary`. A look-behind sees the line before.
        window: letters of a document of FASTA: a longer sequence becomes several documents of one line each, so that a
            part of a genome can be held out. None takes 12,000, into which k-mers of 1 to 6 letters fit.
        skip_lines: a regular expression; lines of ``.txt`` files that match it from their first visible character on
            are left out.
        on_bad_line: ``stop``, or ``skip`` and count lines (and Parquet rows) that are not UTF-8, hold NUL bytes, are
            longer than `max_line_bytes`, or are not JSON objects with the field.
        excluded: paths and patterns of files that are left out.
        max_line_bytes: length from which a line is taken for an error.
        max_document_megabytes: where a longer document is split into two (at an end of line), so that memory stays
            bounded.
        unit_megabytes: size of the byte ranges.
    """

    key: ClassVar[str] = "corpus.files"
    """Of the configuration that names the files, for messages."""

    files: str | Sequence[str]
    format: Format | None = None
    field: str | int = "text"
    delimiter: str = "auto"
    quoting: Quoting = "auto"
    header: bool = True
    document_boundary: plain.Boundary = "blank_line"
    document_start: str | None = None
    window: int | None = None
    skip_lines: str | None = None
    on_bad_line: Literal["stop", "skip"] = "stop"
    excluded: str | Sequence[str] | None = None
    max_line_bytes: int = 10_000_000
    max_document_megabytes: float = 16.0
    unit_megabytes: float = 8.0

    def __post_init__(self) -> None:
        _check_choice("format", self.format, (*get_args(Format), None))
        _check_choice("document_boundary", self.document_boundary, get_args(plain.Boundary))
        _check_choice("on_bad_line", self.on_bad_line, ("stop", "skip"))
        _check_choice("quoting", self.quoting, get_args(Quoting))
        if self.delimiter != "auto" and len(self.delimiter) != 1:
            raise InputError(f"corpus.source.delimiter={self.delimiter}: must be one character, or auto")
        for key in ("window", "max_line_bytes", "max_document_megabytes", "unit_megabytes"):
            if getattr(self, key) is not None and getattr(self, key) <= 0:
                raise InputError(f"corpus.source.{key}={getattr(self, key)}: must be positive")
        for key in ("document_start", "skip_lines"):
            try:
                re.compile(getattr(self, key) or "")
            except re.error as error:
                raise InputError(f"corpus.source.{key}: is not a regular expression ({error})") from error

    @property
    def name(self) -> str:
        return "files"

    def units(self) -> list[Unit]:
        return [unit for path in self.paths() for unit in self._cut(path)]

    def fingerprint(self) -> dict[str, object]:
        """Paths, sizes and times of change, and the content of all files as one hash.

        Files of more than `WHOLLY_HASHED` bytes in all are known by some blocks of each and by their times of change,
        those of a store by their names, sizes and times.
        """
        stamps = {path: _stamp(path) for path in self.paths()}
        wholly = sum(stamp["bytes"] for stamp in stamps.values()) <= WHOLLY_HASHED
        digest = blake2b(digest_size=16)
        for path, stamp in stamps.items():
            digest.update(repr(_content(path, **stamp, wholly=wholly)).encode())
        files = [{"path": path, **stamp} for path, stamp in stamps.items()]
        return {"files": files, "content": digest.hexdigest()}

    def documents(self, unit: Unit, counts: Counter[str]) -> Iterator[Document]:
        skip, kind = self.on_bad_line == "skip", self._format(unit.path)
        if kind == "parquet":
            yield from parquet.documents(unit, self._name(unit.path), counts, skip_bad_rows=skip)
            return
        decoder = LineDecoder(unit.path, self.max_line_bytes, skip, counts)
        with open_text(unit.path) as stream:
            yield from self._documents(kind, stream, unit, decoder)

    def _documents(self, kind: Format, stream: BinaryIO, unit: Unit, decoder: LineDecoder) -> Iterator[Document]:
        if kind in ("csv", "tsv"):
            return self._column(kind).documents(stream, unit, decoder)
        if kind == "jsonl" and unit.start == 0 and is_document(head_of(stream)):
            return jsonl.listed_documents(stream, unit, decoder, self._name(unit.path))
        lines = raw_lines(stream, unit.start, self.max_line_bytes)
        if kind == "jsonl":
            return jsonl.documents(lines, unit, decoder, self._name(unit.path))
        if kind == "fasta":
            return fasta.documents(lines, unit, decoder, self.window or fasta.WINDOW)
        max_document_bytes = self.max_document_megabytes * 1e6
        if kind == "markdown":
            return markdown.documents(lines, unit, decoder, max_document_bytes)
        starts = plain.document_start(self.document_boundary, self.document_start)
        return plain.documents(lines, unit, decoder, starts, self.skip_lines, max_document_bytes)

    def _column(self, kind: Format) -> TextColumn:
        delimiter = {"csv": ",", "tsv": "\t"}[kind] if self.delimiter == "auto" else self.delimiter
        return TextColumn(field=self.field, delimiter=delimiter, quoting=self.quoting, header=self.header)

    def _name(self, path: str) -> str:
        """The field by its name."""
        if isinstance(self.field, int):
            raise InputError(f"corpus.source.field={self.field}: {path} has names of fields, not numbers; give one")
        return self.field

    def paths(self) -> list[str]:
        """The files in the order of reading: patterns in the order given, the matches of each sorted, nothing twice."""
        found = _named(self.files, self.key)
        if self.excluded is not None:
            excluded = {_resolved(path) for path in _named(self.excluded, HeldoutFiles.key)}
            kept = [path for path in found if _resolved(path) not in excluded]
            if found and not kept:
                raise InputError(f"{self.key}: names no file but those of {HeldoutFiles.key}; give others")
            found = kept
        if not found:
            raise InputError(f"{self.key}: names no file; give paths or patterns, for example {self.key}='texts/*.txt'")
        return found

    def _format(self, path: str) -> Format:
        if self.format is not None:
            return self.format
        suffix, compression = endings(path)
        if suffix not in FORMATS or (compression and FORMATS[suffix] == "parquet"):
            known = ", ".join(FORMATS)
            raise InputError(
                f"{path}: its format cannot be told from its name (known: {known}, and .gz, .xz or .zst after all but"
                " .parquet); choose other corpus.files or state corpus.source.format"
            )
        return FORMATS[suffix]

    def _cut(self, path: str) -> list[Unit]:
        kind, size = self._format(path), size_of(location(path))
        if kind == "parquet":
            return parquet.units(path, self._name(path))
        if kind in ("csv", "tsv"):
            self._column(kind).check(path, LineDecoder(path, self.max_line_bytes, False, Counter()))
        if endings(path)[1]:
            return [Unit(path, 0, -1, size * COMPRESSION_RATIO)]
        if self._is_whole(path, kind) or size <= self.unit_megabytes * 1e6:
            return [Unit(path, 0, -1, size)]
        step = int(self.unit_megabytes * 1e6)
        return [Unit(path, start, min(start + step, size), min(step, size - start)) for start in range(0, size, step)]

    def _is_whole(self, path: str, kind: Format) -> bool:
        """Whether a file cannot be read from the middle."""
        if kind == "jsonl":
            with open_text(path) as stream:
                return is_document(head_of(stream))
        if kind == "text":
            return self.document_boundary == "file" and self.document_start is None
        return True


@dataclass(frozen=True, kw_only=True)
class HeldoutFiles(TextFiles):
    """Files that are held out from training."""

    key: ClassVar[str] = "corpus.heldout_files"


def _named(patterns: str | Sequence[str], key: str) -> list[str]:
    """Files that patterns name, each once."""
    all_of_them = [patterns] if isinstance(patterns, str) else patterns
    return list(dict.fromkeys(path for pattern in all_of_them for path in _matches(pattern, key)))


def _resolved(path: str) -> str:
    return path if is_remote(path) else str(Path(path).resolve())


def _matches(pattern: str, key: str) -> list[str]:
    """Files that `pattern` names, sorted."""
    if is_remote(pattern):
        objects = matches(pattern)
        if not objects:
            raise InputError(f"{key}: no object of the store matches {pattern!r}")
        return objects
    pattern = str(Path(pattern).expanduser())
    if glob.has_magic(pattern) and not Path(pattern).is_file():  # a file may be called so
        found = glob.glob(pattern, recursive=True)  # noqa: PTH207, since patterns may be absolute
        files = sorted(path for path in found if Path(path).is_file())
        if not files:
            raise InputError(f"{key}: no file matches {pattern!r} (in {Path.cwd()})")
        return files
    if Path(pattern).is_dir():
        raise InputError(f"{key}: {pattern!r} is a directory; name its files, for example {key}='{pattern}/**/*.txt'")
    if not Path(pattern).exists():
        raise InputError(f"{key}: {pattern!r} does not exist (in {Path.cwd()})")
    if not Path(pattern).is_file():
        raise InputError(f"{key}: {pattern!r} is a device or a pipe, which cannot be read twice; give a file")
    return [pattern]


def _stamp(path: str) -> dict[str, int]:
    """By which it is seen that a file is another now."""
    place = location(path)
    if isinstance(place, RemotePath):
        return {"bytes": place.size(), "mtime": place.modified()}
    stat = place.stat()
    return {"bytes": stat.st_size, "mtime": int(stat.st_mtime)}


def _content(path: str, bytes: int, mtime: int, *, wholly: bool) -> tuple[object, ...]:  # noqa: A002 - keys of JSON
    """What tells a file from others, wherever it lies."""
    if is_remote(path):
        return path, bytes, mtime
    digest = blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        if wholly:
            while block := file.read(BLOCK):
                digest.update(block)
            return endings(path), bytes, digest.hexdigest()
        for start in dict.fromkeys([0, max(0, bytes // 2 - BLOCK), max(0, bytes - BLOCK)]):
            file.seek(start)
            digest.update(file.read(BLOCK))
    return endings(path), bytes, digest.hexdigest(), mtime


def _check_choice(key: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        known = ", ".join("null" if choice is None else str(choice) for choice in choices)
        raise InputError(f"corpus.source.{key}={value}: must be one of {known}")
