"""Write predictions atomically: JSON lines, CSV or Parquet, or to standard output."""

import json
import math
import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from cloze.data.tables.delimited_output import Delimited, Rows, plain
from cloze.data.tables.formats import DELIMITERS, JSON_SUFFIXES
from cloze.errors import InputError
from cloze.files.partial_output import PartialOutput, try_lock

ADVICE = "make room and give the same command again"
NO_COLUMNS = "columns of the input go into Parquet where they are the same in all rows: write .jsonl, or set keep=false"


class Output(ABC):
    """A context: what is written in it is there for good when it ends without an exception; else it can be resumed.

    Attributes:
        done: rows of the input, good or bad, whose results have been written, those of an earlier run included; known
            once the context is entered.
        counts: bad rows among them, by what was wrong.
    """

    def __init__(self) -> None:
        self.done = 0
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(complete=kind is None)

    @abstractmethod
    def end(self, *, complete: bool) -> None:
        """Complete it, or leave it so that the same command can resume."""

    @abstractmethod
    def write(self, rows: Rows, done: int) -> None:
        """Add the results of the rows up to number `done`."""


def check_output(path: str | None) -> None:
    """See that an output can be written; None is standard output.

    Raises:
        InputError: another suffix than those of the formats, the file exists, or its folder does not.
    """
    if path is None:
        return
    file = Path(path).expanduser()
    if file.suffix.lower() not in (*JSON_SUFFIXES, *DELIMITERS, ".parquet"):
        raise InputError(
            f"output={path}: its suffix must be .jsonl, .csv, .tsv or .parquet, which says how it is written"
        )
    if file.exists():
        raise InputError(f"output={path}: exists; delete it, or choose another output")
    if not file.parent.is_dir():
        raise InputError(f"output={path}: there is no folder {file.parent}; make it first")


def is_delimited(path: str | None) -> bool:
    """Whether an output is CSV or TSV, whose rows are `flat`."""
    return path is not None and Path(path).suffix.lower() in DELIMITERS


def open_output(
    path: str | None, fields: Mapping[str, pa.DataType], command: Mapping[str, Any] | None, delimiter: str = "auto"
) -> Output:
    """An output that `check_output` has let pass.

    Args:
        path: of the file, or None.
        fields: types of the columns that every row has, for Parquet.
        command: what determines the results; a run with the same one resumes where another stopped. None never does.
        delimiter: of a CSV file; auto is a comma.
    """
    if path is None:
        return StandardOutput()
    file = Path(path).expanduser()
    if file.suffix.lower() == ".parquet":
        return ParquetOutput(file, fields)
    return LinesFile(file, command, Delimited(file, fields, delimiter) if is_delimited(path) else None)


class StandardOutput(Output):
    """JSON lines for the next program, or for the reader."""

    def write(self, rows: Rows, done: int) -> None:
        """Print the rows at once."""
        sys.stdout.buffer.write(json_lines(rows))
        sys.stdout.buffer.flush()
        self.done = done

    def end(self, *, complete: bool) -> None:
        """Nothing is open."""


class LinesFile(Output):
    """Lines in ``OUTPUT.partial``, with a journal next to of how far they are finished.

    What stands behind the offset in the journal, half a line perhaps, is removed when a run resumes.

    Args:
        file: to come.
        command: what determines the results; None is never resumed.
        table: makes lines of CSV or TSV; None writes JSON lines.
    """

    def __init__(self, file: Path, command: Mapping[str, Any] | None, table: Delimited | None) -> None:
        super().__init__()
        self.file = file
        self.table = table
        self.partial = file.with_name(f"{file.name}.partial")
        self.command = command
        self.bytes = 0
        self.journal = PartialOutput(file, file.parent, f"{self.partial} and {self.partial}.json")

    def __enter__(self) -> Self:
        try:
            self.stream = self.partial.open("ab", buffering=0)
        except OSError as error:
            raise InputError(f"{self.partial}: cannot be written ({error.strerror}); choose another output") from error
        try:
            self._begin()
        except BaseException:
            self.stream.close()
            raise
        return self

    def _begin(self) -> None:
        if not try_lock(self.stream.fileno()):
            raise self.journal.held_by("another process")
        kinds = {"command": dict, "rows": int, "bytes": int, "counts": Counter}
        if (before := self.journal.recorded(self.partial.name, **kinds)) is not None:
            command = {"input": "-"} if self.command is None else self.command
            self.journal.check({key: value for key, value in before["command"].items() if key in command}, command)
            if 0 <= before["bytes"] <= self.stream.tell():
                self.done, self.bytes, self.counts = before["rows"], before["bytes"], Counter(before["counts"])
        self.stream.truncate(self.bytes)
        if self.bytes and self.table is not None:
            self.table.resume(self.partial)

    def write(self, rows: Rows, done: int) -> None:
        """Add the lines, then say so in the journal.

        Raises:
            InputError: there is no room.
        """
        try:
            self._append(json_lines(rows) if self.table is None else self.table.lines(rows))
            size = self.stream.tell()
            if self.command is not None:
                record = {"command": self.command, "rows": done, "bytes": size, "counts": self.counts}
                self.journal.record(self.partial.name, record)
        except OSError as error:
            raise InputError(
                f"{self.partial}: cannot be written ({error.strerror}); {ADVICE}, which resumes where this one stopped"
            ) from error
        self.done, self.bytes = done, size

    def _append(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:  # a write without a buffer may take less than it was given
            rest = rest[self.stream.write(rest) :]
        os.fsync(self.stream.fileno())

    def end(self, *, complete: bool) -> None:
        """Rename what is whole."""
        self.stream.truncate(self.bytes)
        if complete:
            if not self.bytes and self.table is not None:
                self._append(self.table.nothing())
            self.partial.replace(self.file)
            self.journal.record_file(self.partial.name).unlink(missing_ok=True)
        self.stream.close()


class ParquetOutput(Output):
    """A Parquet file; its columns are those of the first rows. What has no end cannot be read, so none is left."""

    def __init__(self, file: Path, fields: Mapping[str, pa.DataType]) -> None:
        super().__init__()
        self.file = file
        self.partial = file.with_name(f"{file.name}.partial")
        self.fields = fields
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: Rows, done: int) -> None:
        """Add a row group.

        Raises:
            InputError: there is no room, or a row does not fit into the columns.
        """
        if rows:
            try:
                if self._writer is None:
                    self._writer = pq.ParquetWriter(self.partial, self._schema(rows))
                self._writer.write_table(self._table(rows, self._writer.schema))
            except OSError as error:
                raise InputError(f"{self.partial}: cannot be written ({error}); {ADVICE}") from error
        self.done = done

    def _schema(self, rows: Rows) -> pa.Schema:
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.schema([(name, self._type(name, rows)) for name in names])

    def _type(self, name: str, rows: Rows) -> pa.DataType:
        if name in self.fields:
            return self.fields[name]
        try:
            kind = pa.array([row.get(name) for row in rows]).type
        except pa.ArrowException:
            return pa.string()  # of several types: as JSON
        return pa.string() if pa.types.is_null(kind) else kind

    def _table(self, rows: Rows, schema: pa.Schema) -> pa.Table:
        known = set(schema.names)
        if unknown := [name for row in rows for name in row if name not in known]:
            raise InputError(f"{self.file}: {unknown[0]!r} is in no row before; {NO_COLUMNS}")
        columns = []
        for field in schema:
            values = [row.get(field.name) for row in rows]
            if field.name not in self.fields and pa.types.is_string(field.type):
                values = [v if v is None or isinstance(v, str) else json.dumps(v, default=plain) for v in values]
            if pa.types.is_map(field.type):
                values = [value if value is None else list(value.items()) for value in values]
            try:
                columns.append(pa.array(values, field.type))
            except (pa.ArrowException, TypeError) as error:
                raise InputError(f"{self.file}: {field.name!r} is not always {field.type}; {NO_COLUMNS}") from error
        return pa.Table.from_arrays(columns, schema=schema)

    def end(self, *, complete: bool) -> None:
        """Rename what is whole."""
        try:
            if self._writer is not None:
                self._writer.close()
            if complete and self._writer is None:
                pq.write_table(pa.schema(self.fields.items()).empty_table(), self.partial)
            if complete:
                self.partial.replace(self.file)
        except OSError as full:
            if complete:
                raise InputError(f"{self.partial}: cannot be written ({full}); {ADVICE}") from full
        finally:
            with suppress(OSError):  # a folder that cannot be written has nothing of ours
                self.partial.unlink()


def json_lines(rows: Rows) -> bytes:
    """One object a line, in UTF-8; what JSON has no word for, as dates, becomes text, and NaN null."""
    return "".join(_line(row) + "\n" for row in rows).encode()


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=plain)
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False, default=plain)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
