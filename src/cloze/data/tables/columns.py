"""Names of the columns of an input; fast to import, so that the configuration is checked first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloze.errors import BadRowError


@dataclass(frozen=True, kw_only=True)
class TextColumns:
    """Names of columns, by default those that the attributes have.

    Attributes:
        id: names the rows; without it they are numbered from 0.
        text: a text, or segment A of a pair.
        text_pair: segment B; without such a column, or in rows where it is empty, there is none.
        words: a list of words, or a text that is split at its spaces.
    """

    id: str | None = None
    text: str | None = None
    text_pair: str | None = None
    words: str | None = None


@dataclass(frozen=True, kw_only=True)
class Columns(TextColumns):
    """The section `columns` of prediction.

    Attributes:
        question: on a passage; by default also `text`.
        context: the passage; by default also `text_pair`.
        choices: of multiple choice: a column with the list of them, or one column for each.
    """

    question: str | None = None
    context: str | None = None
    choices: str | list[str] | None = None


def cell_of(cells: Mapping[str, Any], name: str, key: str) -> Any:
    """The cell of a row in the column that `columns.KEY` names.

    Raises:
        BadRowError: the row has no such column.
    """
    if name not in cells:
        hint = delimiter_hint([*cells], "delimiter")
        there = ", ".join(map(repr, cells)) or "none"
        raise BadRowError(f"rows without {name}", f"has no {name!r} (there: {there}); set columns.{key}=NAME{hint}")
    return cells[name]


def delimiter_hint(columns: Sequence[str], key: str) -> str:
    """What to do where one column looks like several, since another sign stands between the cells."""
    signs = {";": ";", "|": "|", "\t": "\\t", ",": ","}
    typed = next((typed for sign, typed in signs.items() if len(columns) == 1 and sign in columns[0]), None)
    return "" if typed is None else f"; if {typed} stands between its cells, give '{key}={typed}'"
