"""Write predictions as CSV and TSV, with one value per column."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from cloze.data.tables.formats import DELIMITERS
from cloze.errors import InputError

Rows = Sequence[Mapping[str, Any]]

COLUMN_OF = {
    "probabilities": "probability",
    "label_probabilities": "label_probability",
    "prediction": "prediction",
    "label": "label",
}
"""What of a prediction may say something of each label, and what the names of its columns begin with."""

BREAKS = re.compile("[\t\r\n]+")


def flat(said: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction with a column for each label.

    `probability_good` is the probability of the label `good`; `prediction_good` is 1 or 0 where several may apply, and
    the score of this name where there are several. Choices have no columns: rows differ in how many there are.
    """
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key in COLUMN_OF and isinstance(value, Mapping) and "choices" not in said:
            found |= {f"{COLUMN_OF[key]}_{name}": part for name, part in value.items()}
        else:
            found[key] = value
        if key == "prediction" and isinstance(value, list) and isinstance(said.get("probabilities"), Mapping):
            found |= {f"prediction_{name}": int(name in value) for name in said["probabilities"]}
    return found


def flat_names(fields: Mapping[str, pa.DataType]) -> list[str]:
    """The columns that `flat` makes of predictions of these types."""
    nothing: dict[str, Any] = dict.fromkeys(fields)
    for key, kind in fields.items():
        if pa.types.is_struct(kind):
            nothing[key] = {kind.field(at).name: None for at in range(kind.num_fields)}
        elif pa.types.is_list(kind):
            nothing[key] = []
    return list(flat(nothing))


class Delimited:
    """Rows as lines of CSV or TSV, below a line with the names of the columns, which are those of the first rows.

    CSV begins with a byte-order mark, by which spreadsheets know UTF-8. TSV has no quoting: tabs and line breaks in its
    cells become blanks. Lists and mappings are JSON in their cells.

    Args:
        file: to come; its suffix tells which of the two.
        fields: types of the columns that every row has, for a file without rows.
        delimiter: of CSV; auto is a comma.
    """

    def __init__(self, file: Path, fields: Mapping[str, pa.DataType], delimiter: str) -> None:
        self.file = file
        self.quoted = file.suffix.lower() == ".csv"
        typed = self.quoted and delimiter != "auto" and len(delimiter) == 1
        self.delimiter = delimiter if typed else DELIMITERS[file.suffix.lower()]
        self.columns: list[str] = []
        self._without_rows = ["id", *flat_names(fields)]

    def resume(self, partial: Path) -> None:
        """Take the columns from what an earlier run has written.

        Raises:
            InputError: there are none that can be read.
        """
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        try:
            with partial.open(encoding="utf-8-sig", newline="") as lines:
                self.columns = next(csv.reader(lines, delimiter=self.delimiter, quoting=quoting))
        except (csv.Error, UnicodeDecodeError, StopIteration) as error:
            raise InputError(
                f"{partial}: its first line is damaged; delete it and its .json to start from scratch"
            ) from error

    def lines(self, rows: Rows) -> bytes:
        """The rows in UTF-8.

        Raises:
            InputError: a row has a column that those before have not.
        """
        if not rows:
            return b""
        head = [] if self.columns else [list(dict.fromkeys(name for row in rows for name in row))]
        self.columns = head[0] if head else self.columns
        known = set(self.columns)
        if unknown := [name for row in rows for name in row if name not in known]:
            raise InputError(
                f"{self.file}: {unknown[0]!r} is in no row before; columns of the input go into a table where they are "
                "the same in all rows: write .jsonl, or set keep=false"
            )
        written = self._written([*head, *([row.get(name) for name in self.columns] for row in rows)])
        return written.encode("utf-8-sig" if head and self.quoted else "utf-8")

    def nothing(self) -> bytes:
        """A file without rows."""
        return self._written([self._without_rows]).encode("utf-8-sig" if self.quoted else "utf-8")

    def _written(self, lines: Sequence[Sequence[object]]) -> str:
        if not self.quoted:
            return "".join("\t".join(BREAKS.sub(" ", cell(value)) for value in line) + "\n" for line in lines)
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter).writerows(map(cell, line) for line in lines)
        return text.getvalue()


def cell(value: object) -> str:
    """Nothing for None and NaN, text as it is, numbers, lists and mappings as in JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=plain)
    return plain(value)


def plain(value: object) -> str:
    """Text for a value of Parquet that JSON does not have."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
