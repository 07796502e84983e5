"""Examples from tables: texts and pairs with a class, a score or several labels; beginnings with choices."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from cloze.data.downstream.cells import (
    Column,
    class_name,
    find,
    is_absent,
    is_one,
    items_of,
    listed,
    names_of,
    place,
    score_of,
    text_of,
)
from cloze.data.downstream.classification import Problem
from cloze.data.downstream.examples import ChoiceExample, Example, TextExample
from cloze.data.downstream.split_files import SplitFiles
from cloze.data.downstream.table_files import BadRowError, Quoting, Table, TableFormat, is_hub, read_table
from cloze.errors import InputError

Cells = Sequence[object]
Label = str | float | tuple[str, ...] | None
E = TypeVar("E", bound=Example)


@dataclass(kw_only=True)
class Tables(SplitFiles, ABC, Generic[E]):
    """What the tables of all shapes have in common.

    A path is a ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl`` or ``.parquet`` file, or ``hub:NAME[:CONFIG[:SPLIT]]``.

    Attributes:
        id: the column that names the examples; without it they are numbered from 0.
        delimiter: between two cells; auto goes by the suffix.
        quoting: auto lets cells stand in quotes unless the delimiter is a tab.
        header: whether CSV and TSV files begin with the columns' names; auto says so when a column is given by name.
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
            InputError: the file is missing, has not the columns, or a row is not as it should be.
        """
        path = self.paths()[split]
        if not is_hub(path):
            path = str(Path(path).expanduser())
            self.check_file(path, split)
        header = self.header
        if header == "auto":
            header = any(isinstance(column, str) for column in self.columns(split))
        layout = TableFormat(delimiter=self.delimiter, quoting=self.quoting, header=header)
        table = read_table(path, split.partition("_")[0], layout)
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
                        f"{table.name}, {table.unit} {row.number}: {bad}; mend it, or skip and count such rows with"
                        " task.data.on_bad_row=skip"
                    ) from None
                self.counts[f"rows skipped: {bad.kind}"] += 1
        return examples

    @abstractmethod
    def columns(self, split: str) -> Sequence[Column]:
        """The columns that are read of a split."""

    @abstractmethod
    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], E]:
        """What makes an example of the cells of a row, its number and where it is; it raises `BadRowError`."""


@dataclass(kw_only=True)
class TextTables(Tables[TextExample]):
    """Texts or pairs of texts with labels.

    Attributes:
        text: column of segment A.
        text_pair: column of segment B.
        label: column of the class, the score, or the several labels; for the latter also a list of columns, each of
            which holds 1 where the label that it is named after applies, else 0.
        problem: what a label is: the name of one class, any number of names, or a score.
        separator: between the names of several labels in one cell.
        test_columns: the columns `id`, `text`, `text_pair`, `label` of the test split where they differ from the
            others; what is not named in it is not there. Empty when they do not differ.
    """

    text: Column
    text_pair: Column | None = None
    label: Column | Sequence[Column] | None = None
    problem: Problem = "single_label"
    separator: str = ","
    test_columns: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.test_columns) - {"id", "text", "text_pair", "label"}):
            raise InputError(f"task.data.test_columns.{unknown[0]}: expected id, text, text_pair and label only")
        if self.test_columns and "text" not in self.test_columns:
            raise InputError("task.data.test_columns: names no column for the text; add text: COLUMN")
        if isinstance(self.label, Sequence) and not isinstance(self.label, str) and self.problem != "multi_label":
            raise InputError("task.data.label: a list of columns is for task.data.problem=multi_label; give one column")

    def _in(self, split: str) -> "TextTables":
        """These tables with the columns of a split."""
        if not (split.startswith("test") and self.test_columns):
            return self
        columns: dict[str, Any] = {"id": None, "text_pair": None, "label": None, **self.test_columns}
        return replace(self, **columns, test_columns={})

    def columns(self, split: str) -> list[Column]:
        """Of texts, labels and names."""
        of = self._in(split)
        return [column for given in (of.id, of.text, of.text_pair, of.label) for column in listed(given)]

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], TextExample]:
        """Rows to texts with labels."""
        of = self._in(split)
        text = place(table, of.text, "text")
        pair = None if of.text_pair is None else place(table, of.text_pair, "text_pair")
        name = None if of.id is None else place(table, of.id, "id")
        label = of._labeller(table, split)

        def make(cells: Cells, number: str, where: str) -> TextExample:
            return TextExample(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                text=text_of(cells[text], "text"),
                text_pair=None if pair is None else text_of(cells[pair], "text_pair"),
                label=label(cells),
            )

        return make

    def _labeller(self, table: Table, split: str) -> Callable[[Cells], Label]:
        """From the cells of a row to its label."""
        columns = labelled_columns(table, listed(self.label), split)
        if not columns:
            return lambda _: None
        places = [place(table, column, "label") for column in columns]
        if not isinstance(self.label, int | str):
            names = [str(column) for column in columns]
            return lambda cells: tuple(name for name, at in zip(names, places, strict=True) if is_one(cells[at], name))
        at, several = places[0], self.problem == "multi_label"
        parsers: dict[Problem, Callable[[object], Label]] = {
            "single_label": class_name,
            "multi_label": self._names,
            "regression": score_of,
        }
        parse = parsers[self.problem]

        def label(cells: Cells) -> Label:
            cell = cells[at]
            if is_absent(cell) and not (several and cell is not None):  # an empty cell is a row without any label
                check_test(split, columns[0])
                return None
            return parse(cell)

        return label

    def _names(self, cell: object) -> tuple[str, ...]:
        return names_of(cell, self.separator)


@dataclass(kw_only=True)
class ChoiceTables(Tables[ChoiceExample]):
    """Beginnings, each with the same number of choices.

    Attributes:
        text: column of segment A.
        choices: the columns of the choices; or one column that holds the list of them (JSON lines, Parquet).
        prefix: column of what every segment B begins with.
        label: column of the right choice: its number, its letter (A, B, ...) or the name of its column.
        first_label: number of the first choice.
    """

    text: Column
    choices: Sequence[Column] | Column
    prefix: Column | None = None
    label: Column | None = None
    first_label: int = 0

    def columns(self, split: str) -> list[Column]:
        """Of beginnings, choices, labels and names."""
        given = (self.id, self.text, self.prefix, self.choices, self.label)
        return [column for columns in given for column in listed(columns)]

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], ChoiceExample]:
        """Rows to choices."""
        text = place(table, self.text, "text")
        name = None if self.id is None else place(table, self.id, "id")
        prefix = None if self.prefix is None else place(table, self.prefix, "prefix")
        choices = [place(table, column, "choices") for column in listed(self.choices)]
        one_column = isinstance(self.choices, int | str)
        labels = [place(table, column, "label") for column in labelled_columns(table, listed(self.label), split)]

        def make(cells: Cells, number: str, where: str) -> ChoiceExample:
            endings = items_of(cells[choices[0]]) if one_column else [cells[at] for at in choices]
            start = "" if prefix is None else text_of(cells[prefix], "prefix") + " "
            return ChoiceExample(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                text=text_of(cells[text], "text"),
                choices=tuple(start + text_of(ending, "choice") for ending in endings),
                label=self._number(cells[labels[0]], len(endings), split) if labels else None,
            )

        return make

    def _number(self, cell: object, choices: int, split: str) -> int | None:
        """The number of the right choice, from 0."""
        if is_absent(cell):
            check_test(split, self.label)
            return None
        name = class_name(cell)
        columns = [column for column in listed(self.choices) if isinstance(column, str)]
        if name in columns:
            return columns.index(name)
        if len(name) == 1 and name.isascii() and name.isalpha():
            number = ord(name.upper()) - ord("A")
        else:
            number = int(name) - self.first_label if name.isascii() and name.isdigit() else -1
        if not 0 <= number < choices:
            last = self.first_label + choices - 1
            raise BadRowError("labels of no choice", f"its label is {name!r}, but must be {self.first_label} to {last}")
        return number


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
