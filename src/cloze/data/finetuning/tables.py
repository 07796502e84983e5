"""Examples from tables, for classification, regression, multi-label tasks and multiple choice."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cloze.data.finetuning.classification import Problem
from cloze.data.finetuning.table_source import Cells, Tables, check_test, labelled_columns
from cloze.data.tables.cells import (
    Column,
    as_columns,
    choices_of,
    class_name,
    is_absent,
    is_one,
    items_of,
    names_of,
    place,
    score_of,
    shares_of,
    text_of,
    uncut,
)
from cloze.data.tables.examples import ChoiceExample, TextExample
from cloze.data.tables.table import Table
from cloze.errors import BadRowError, InputError

Label = str | float | tuple[str, ...] | Mapping[str, float] | None


@dataclass(kw_only=True)
class TextTables(Tables[TextExample]):
    """Texts or pairs of texts with labels.

    Attributes:
        text: column of segment A.
        text_pair: column of segment B; a row where it is empty is a single text.
        label: column of the class, the score, or the several labels. Or a list of columns: of the probabilities of the
            classes that they are named after, of several scores, or of labels, 1 where one applies and else 0.
        problem: what a label is: one class, any number of labels, or a score.
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
        if isinstance(self.label, Sequence) and not isinstance(self.label, str):
            if not self.label or len(set(self.label)) < len(self.label):
                raise InputError(f"task.data.label={self.label}: expected a column, or several different ones")
            if len(self.label) == 1 and self.problem != "multi_label":
                self.label = self.label[0]
        if not self.separator:
            raise InputError("task.data.separator: is empty; give what stands between the labels of a cell, as ;")

    def read(self, split: str) -> list[TextExample]:
        """The examples of a split; what looks like several labels taken for one is noted."""
        examples, several = super().read(split), self.problem == "multi_label"
        cells = ((e.label,) if isinstance(e.label, str) else e.label for e in examples)
        names = Counter(name for cell in cells if isinstance(cell, tuple) for name in cell)
        sign = uncut(names, self.separator if several else None)
        if sign is not None and split == self.splits[0] and isinstance(self.label, int | str):
            name, count = next((name, count) for name, count in names.most_common() if sign in name)
            self.notes.append(
                f"{self.paths()[split]}: {name!r} ({count:,} times) is taken as one label; if {sign!r} stands between"
                f" labels, give {'' if several else 'task=multilabel '}'task.data.separator={sign}'"
            )
        return examples

    def _in(self, split: str) -> "TextTables":
        """These tables with the columns of a split."""
        if not (split.startswith("test") and self.test_columns):
            return self
        columns: dict[str, Any] = {"id": None, "text_pair": None, "label": None, **self.test_columns}
        return replace(self, **columns, test_columns={})

    def columns(self, split: str) -> list[Column]:
        """Of texts, labels and names."""
        of = self._in(split)
        return [column for given in (of.id, of.text, of.text_pair, of.label) for column in as_columns(given)]

    def label_columns(self, split: str) -> list[Column]:
        """Of the class, the score or the labels."""
        return as_columns(self._in(split).label)

    def label_names(self, cell: object) -> Sequence[str]:
        """Of several labels each."""
        return self._names(cell) if self.problem == "multi_label" else super().label_names(cell)

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], TextExample]:
        """Rows to texts with labels."""
        of = self._in(split)
        text = place(table, of.text, "text")
        pair = None if of.text_pair is None else place(table, of.text_pair, "text_pair")
        name = None if of.id is None else place(table, of.id, "id")
        label, is_test = of._labeller(table, split), split.startswith("test")

        def make(cells: Cells, number: str, where: str) -> TextExample:
            return TextExample(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                text="" if is_test and is_absent(cells[text]) else text_of(cells[text], "text"),  # its row is wanted
                text_pair=None if pair is None or is_absent(cells[pair]) else text_of(cells[pair], "text_pair"),
                label=label(cells),
            )

        return make

    def _labeller(self, table: Table, split: str) -> Callable[[Cells], Label]:
        """From the cells of a row to its label."""
        columns = labelled_columns(table, as_columns(self.label), split)
        if not columns:
            return lambda _: None
        places = [place(table, column, "label") for column in columns]
        if not isinstance(self.label, int | str):
            return self._numbers({table.columns[at] if table.columns else str(at): at for at in places}, split)
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

    def _numbers(self, places: Mapping[str, int], split: str) -> Callable[[Cells], Label]:
        """From the cells of a row to what several columns say."""
        if self.problem == "multi_label":
            return lambda cells: tuple(name for name, at in places.items() if is_one(cells[at], name))

        def numbers(cells: Cells) -> Mapping[str, float] | None:
            if all(is_absent(cells[at]) for at in places.values()):
                check_test(split, next(iter(places)))
                return None
            found = {name: score_of(cells[at]) for name, at in places.items()}
            return found if self.problem == "regression" else shares_of(found)

        return numbers

    def _names(self, cell: object) -> tuple[str, ...]:
        return names_of(cell, self.separator)


@dataclass(kw_only=True)
class ChoiceTables(Tables[ChoiceExample]):
    """Beginnings, each with two choices or more.

    Attributes:
        text: column of segment A.
        choices: the columns of the choices, the last of which may be empty; or one column that holds the list of them
            (JSON, Parquet), or as ARC's has `text` and `label`.
        prefix: column of what every segment B begins with.
        label: column of the right choice: its number, its letter (A, B, ...), its name or that of its column.
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
        return [column for columns in given for column in as_columns(columns)]

    def label_columns(self, split: str) -> list[Column]:
        """Of the right choice."""
        return as_columns(self.label)

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], ChoiceExample]:
        """Rows to choices."""
        text = place(table, self.text, "text")
        name = None if self.id is None else place(table, self.id, "id")
        prefix = None if self.prefix is None else place(table, self.prefix, "prefix")
        choices = [place(table, column, "choices") for column in as_columns(self.choices)]
        one_column = isinstance(self.choices, int | str)
        columns = [column if isinstance(column, str) else "" for column in as_columns(self.choices)]
        labels = [place(table, column, "label") for column in labelled_columns(table, as_columns(self.label), split)]

        def make(cells: Cells, number: str, where: str) -> ChoiceExample:
            found, names = items_of(cells[choices[0]]) if one_column else ([cells[at] for at in choices], columns)
            endings = choices_of(found)
            start = "" if prefix is None or is_absent(cells[prefix]) else text_of(cells[prefix], "prefix") + " "
            return ChoiceExample(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                text=text_of(cells[text], "text"),
                choices=tuple(start + ending for ending in endings),
                label=self._number(cells[labels[0]], len(endings), names, split) if labels else None,
            )

        return make

    def _number(self, cell: object, choices: int, names: Sequence[str], split: str) -> int | None:
        """The number of the right choice, from 0; names are those of the choices, if they have any."""
        if is_absent(cell):
            check_test(split, self.label)
            return None
        name = class_name(cell)
        if name in names:
            number = names.index(name)
        elif len(name) == 1 and name.isascii() and name.isalpha():
            number = ord(name.upper()) - ord("A")
        else:
            number = int(name) - self.first_label if name.isascii() and name.isdigit() else -1
        if not 0 <= number < choices:
            last = self.first_label + choices - 1
            raise BadRowError("labels of no choice", f"its label is {name!r}, but must be {self.first_label} to {last}")
        return number
