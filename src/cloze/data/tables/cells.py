"""Parse the cells of a table and find its columns."""

import ast
import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from cloze.data.tables.columns import delimiter_hint
from cloze.data.tables.table import Table
from cloze.errors import BadRowError, InputError

Column = int | str
"""A column by its position, from 0, or by its name."""


ROUNDING = 0.01
"""Of a probability in a table."""

SEPARATORS = (";", "|", ",")
"""What labels in one cell are written with."""


def as_columns(given: Column | Sequence[Column] | None) -> list[Column]:
    """One column, several or none, as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, int | str) else list(given)


def find(table: Table, column: Column) -> int | None:
    """Where a column stands, if it is there.

    Raises:
        InputError: several columns have its name; or it is a number that is the name of another column.
    """
    if isinstance(column, int):
        if str(column) in table.columns and table.columns.index(str(column)) != column:
            at = table.columns.index(str(column))
            raise InputError(
                f"{table.name}: {column} is the name of column {at}, counted from 0, and the position of another; give"
                f" names in quotes, as 'task.data.text=\"{column}\"', or rename the columns"
            )
        return column if 0 <= column < table.width else None
    if table.columns.count(column) > 1:
        raise InputError(f"{table.name}: has several columns of the name {column!r}; rename all but one")
    return table.columns.index(column) if column in table.columns else None


def place(table: Table, column: Column, key: str) -> int:
    """Where the column that `task.data.KEY` names stands.

    Raises:
        InputError: it is not there.
    """
    found = find(table, column)
    if found is not None:
        return found
    if isinstance(column, int):
        raise InputError(
            f"{table.name}: has no column {column} for task.data.{key}: it has {table.width}, counted from 0; choose"
            " one of them, or give what stands between the cells, as 'task.data.delimiter=;'"
        )
    close = difflib.get_close_matches(column, table.columns, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    there = ", ".join(map(repr, table.columns)) or "it has no header: give columns by position, from 0"
    hint = delimiter_hint(table.columns, "task.data.delimiter")
    raise InputError(f"{table.name}: has no column {column!r} for task.data.{key}; {guess}columns: {there}{hint}")


def is_absent(cell: object) -> bool:
    """Whether a cell says nothing: null, NaN (as pandas writes null), or white space."""
    if isinstance(cell, str):
        return not cell or cell.isspace()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def text_of(cell: object, key: str) -> str:
    """The text in a cell, without white space around it."""
    if is_absent(cell):
        raise BadRowError(f"empty {key}", f"has an empty {key}")
    if not isinstance(cell, str | int | float):
        raise BadRowError(f"{key} that is no text", f"its {key} is of type {type(cell).__name__}, not text")
    return str(cell).strip()


def items_of(cell: object) -> tuple[Sequence[object], Sequence[str]]:
    """The choices in a cell of JSON or Parquet, a list or ARC's `text` and `label`, and their names if any."""
    if isinstance(cell, dict) and isinstance(cell.get("text"), list):
        return cell["text"], [class_name(name) for name in cell.get("label") or ()]
    if not isinstance(cell, list):
        raise BadRowError("choices that are no list", "its choices are no list; name one column for each choice")
    if cell and all(isinstance(item, dict) and "text" in item for item in cell):
        return [item["text"] for item in cell], [class_name(item.get("label", "")) for item in cell]
    return cell, ()


def choices_of(cells: Sequence[object]) -> tuple[str, ...]:
    """The texts of two choices at least; cells that are empty at the end are none."""
    last = max((number for number, cell in enumerate(cells, start=1) if not is_absent(cell)), default=0)
    if gap := next((number for number, cell in enumerate(cells[:last], start=1) if is_absent(cell)), None):
        raise BadRowError(
            "choices with an empty one", f"its choice {gap} is empty, but a later one is not; leave the last ones empty"
        )
    if last < 2:
        raise BadRowError(
            "fewer than two choices", f"has {last or 'no'} choice{'s' * (last != 1)}, but needs two at least"
        )
    return tuple(text_of(cell, "choice") for cell in cells[:last])


def class_name(cell: object) -> str:
    """The name of a class; whole numbers that pandas wrote as 1.0 are 1."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def names_of(cell: object, separator: str) -> tuple[str, ...]:
    """The names of several labels, each once; an empty cell has none. A list may be written as JSON or pandas do."""
    if is_absent(cell):
        return ()
    found = cell if isinstance(cell, list) else _written_list(str(cell).strip())
    names = map(class_name, str(cell).split(separator) if found is None else found)
    return tuple(dict.fromkeys(name for name in names if name))


def _written_list(text: str) -> list[str | int | float] | None:
    """`["a", "b"]`, `['a', 'b']`, or `['a' 'b']` as NumPy writes it; None for any other text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = ast.literal_eval(re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    plain = isinstance(found, list) and all(isinstance(name, str | int | float) for name in found)
    return found if plain else None


def uncut(names: Mapping[str, int], separator: str | None) -> str | None:
    """The sign that looks meant to stand between labels and was not taken so; None where labels look whole.

    The parts on both sides of such a sign come again: `a;b`, `b;c`, `a`. One class of many may have it in its name.

    Args:
        names: how often each label or class occurs.
        separator: between the labels of a cell; None where a cell holds one class.
    """
    for sign in SEPARATORS:
        holding = [name for name in names if sign in name]
        if sign == separator or not holding:
            continue
        parts = Counter(part for name in names for part in {part.strip() for part in name.split(sign)})
        between = {part.strip() for name in holding for part in name.split(sign)}
        again = sum(parts[part] > 1 for part in between)
        if 2 * again >= len(between) or (separator is not None and sign != ","):
            return sign
    return None


def score_of(cell: object) -> float:
    """A finite number."""
    try:
        score = float(str(cell))
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise BadRowError("scores that are no number", f"its score is {cell!r}, but must be a number")
    return score


def shares_of(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of classes, whose sum may differ from 1 by what rounding does; then it is 1."""
    total = sum(probabilities.values())
    if min(probabilities.values()) < 0 or abs(total - 1) > ROUNDING * len(probabilities):
        numbers = ", ".join(f"{name} {value:g}" for name, value in probabilities.items())
        raise BadRowError(
            "probabilities that are none",
            f"its probabilities of the classes ({numbers}) must be above 0 and have the sum 1; for several scores take "
            "task=regression, for several labels task=multilabel",
        )
    return {name: value / total for name, value in probabilities.items()}


def is_one(cell: object, name: str) -> bool:
    """Whether the label of a column applies: 1 or true, not 0 or false."""
    text = str(cell).strip().lower()
    if text not in ("0", "1", "0.0", "1.0", "true", "false"):
        raise BadRowError(
            "labels that are neither 0 nor 1",
            f"the column {name!r} holds {cell!r}, but must hold 0 or 1;"
            " probabilities of classes are for task=classification, scores for task=regression",
        )
    return text in ("1", "1.0", "true")
