"""Base class of example sources in tables."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from cloze.data.finetuning.split_files import SplitFiles
from cloze.data.tables.cells import Column, find
from cloze.data.tables.examples import Example
from cloze.data.tables.formats import TableFormat
from cloze.data.tables.header import names_columns
from cloze.data.tables.table import Table, is_hub, read_table, under_header
from cloze.errors import BadRowError, InputError
from cloze.text.sources.delimited import Quoting

Cells = Sequence[object]
E = TypeVar("E", bound=Example)


@dataclass(kw_only=True)
class Tables(SplitFiles, ABC, Generic[E]):
    """What the tables of all shapes have in common.

    A path is a ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl`` or ``.parquet`` file, or ``hub:NAME[:CONFIG[:SPLIT]]``.

    Attributes:
        id: the column that names the examples; without it they are numbered from 0.
        delimiter: between two cells; auto goes by the suffix.
        quoting: auto lets cells stand in quotes unless the delimiter is a tab.
        header: whether CSV and TSV files begin with the columns' names; auto says so when a column is given by name,
            goes by the first line where all are given by number, and refuses one that can be either.
        on_bad_row: ``stop``, or ``skip`` and count rows with too few or too many columns, without text or label.
    """

    id: Column | None = None
    delimiter: str = "auto"
    quoting: Quoting = "auto"
    header: Literal["auto"] | bool = "auto"
    on_bad_row: Literal["stop", "skip"] = "stop"

    def read(self, split: str) -> list[E]:
        """The examples of a split.

        Raises:
            InputError: the file is missing, does not have the columns, or a row is not as it should be.
        """
        path = self.paths()[split]
        if not is_hub(path):
            path = str(Path(path).expanduser())
            self.check_file(path, split)
        columns = self.columns(split)
        named = any(isinstance(column, str) for column in columns)
        header = named if self.header == "auto" else self.header
        layout = TableFormat(delimiter=self.delimiter, quoting=self.quoting, header=header)
        table = read_table(path, split.partition("_")[0], layout)
        if self.header == "auto" and not table.columns:
            table = self._looked_at(table, [column for column in columns if isinstance(column, int)], split)
        make = self.maker(table, split)
        examples: list[E] = []
        for index, row in enumerate(table.rows):
            try:
                if isinstance(row.cells, BadRowError):
                    raise row.cells
                examples.append(make(row.cells, str(index), f"{table.name}, {table.unit} {row.number}"))
            except BadRowError as bad:
                if self.on_bad_row == "stop":
                    raise InputError(
                        f"{table.name}, {table.unit} {row.number}: {bad}; fix it, or skip and count such rows with"
                        " task.data.on_bad_row=skip"
                    ) from None
                self.counts[f"rows skipped: {bad.kind}"] += 1
        return examples

    def _looked_at(self, table: Table, columns: Sequence[int], split: str) -> Table:
        """A table without a header so far; less its first line where that names the columns.

        Raises:
            InputError: the first line can be a header or an example.
        """
        first, *others = table.rows
        lines = [row.cells for row in others if not isinstance(row.cells, BadRowError)]
        columns = [column for column in columns if column < table.width]
        labels = [column for column in columns if column in self.label_columns(split)]
        texts = [column for column in columns if column not in labels]
        if isinstance(first.cells, BadRowError) or not texts:
            return table._replace(rows=iter([first, *others]))
        found = names_columns(first.cells, lines, texts=texts, labels=labels, names=self.label_names)
        names = ", ".join(repr(str(cell).strip()[:30]) for cell in first.cells)
        if found is None:
            raise InputError(
                f"{table.name}: its first line ({names}) may be a header or an example; say which with"
                " task.data.header=true or task.data.header=false"
            )
        if not found:
            return table._replace(rows=iter([first, *others]))
        self.notes.append(
            f"{table.name}: its first line ({names}) was taken as a header; task.data.header=false makes it an example"
        )
        return under_header(table._replace(rows=iter(others)), first.cells)

    @abstractmethod
    def columns(self, split: str) -> Sequence[Column]:
        """The columns that are read of a split."""

    def label_columns(self, split: str) -> Sequence[Column]:
        """Those of them with a class, a score or labels: things of which there are few, or numbers."""
        return []

    def label_names(self, cell: object) -> Sequence[str]:
        """What the cell of a label says, the names of several labels each for itself."""
        return [str(cell).strip()]

    @abstractmethod
    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], E]:
        """What makes an example of the cells of a row, its number and where it is; it raises `BadRowError`."""


def labelled_columns(table: Table, columns: list[Column], split: str) -> list[Column]:
    """The columns of the labels; none when a test split has not all of them.

    Raises:
        InputError: none is given, and the split is not the test split.
    """
    if split.startswith("test"):
        return columns if all(find(table, column) is not None for column in columns) else []
    if not columns:
        raise InputError(f"{table.name}: its labels are needed; set task.data.label to their column")
    return columns


def check_test(split: str, column: Column | None) -> None:
    """Only rows of a test split may have no label."""
    if not split.startswith("test"):
        raise BadRowError("no label", f"has no label in the column {column!r}")
