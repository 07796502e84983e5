"""Detect whether the first line of a table is a header."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cloze.data.tables.cells import is_absent

Line = Sequence[object]

NAMES = re.compile(
    r"((text|sentence|sent|review|comment|content|body|title|tweet|post|message|question|query|premise|hypothesis|"
    r"document|doc|utterance|passage|context|answer|input|sequence|seq|phrase|string|label|class|category|target|tag|"
    r"score|rating|sentiment|star|polarity|emotion|intent|topic|gold|gold[ _]label|id|idx|index|choice|ending|option)s?"
    r"[ _-]?(\d*|[ab])|(v|x|y|s|col|column|field|f|c|var|unnamed:)[ _]?\d*)",
    re.IGNORECASE,
)
"""What columns are often called; `V1` is R's, `column_1` that of Polars, `Unnamed: 0` that of pandas."""

WIDE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Letters of scripts that write words without blanks between them, or a syllable in one sign."""

ENDS = (".", "!", "?", "\u3002", "\uff01", "\uff1f", "\u0964", "\u061f")
"""Of sentences: also the full-width ones, the danda and the Arabic question mark."""

SOME = 10_000
"""Lines whose texts are looked at."""


def names_columns(
    first: Line,
    others: Sequence[Line],
    *,
    texts: Sequence[int],
    labels: Sequence[int],
    names: Callable[[object], Sequence[str]],
) -> bool | None:
    """Whether the first line holds names and no example; None where both can be.

    A header is a line of short names where the other lines have texts, with something as its label that no other line
    has: a word where they have numbers, or a class of its own. Either sign alone may be an odd first example.

    Args:
        first: the cells of the first line.
        others: those of the other lines.
        texts: the columns that hold texts.
        labels: the columns that hold classes, labels or scores; none where the table is unlabelled.
        names: from the cell of a label to what it says.
    """
    if _counts_columns(first):
        return True
    others = [cells for cells in others if list(cells) != list(first)]  # as where files with headers were joined
    if not others or any(is_absent(first[column]) for column in (*texts, *labels)):
        return False
    read = [_Column([str(first[at]).strip()], [str(cells[at]).strip() for cells in others]) for at in texts]
    marked = [_Column(names(first[at]), [name for cells in others for name in names(cells[at])]) for at in labels]
    shown = [name for column in (*read, *marked) for name in column.first]
    if any(set(column.first) & set(column.others) for column in (*read, *marked)) or any(map(_is_number, shown)):
        return False
    if all(map(NAMES.fullmatch, shown)):
        return True
    texts_differ = all(_is_name(column.first[0]) for column in read) and _are_texts(read[0].others)
    labels_differ = any(_are_labels([name for name in column.others if name]) for column in marked)
    return texts_differ if texts_differ == labels_differ else None


class _Column(NamedTuple):
    """What the first line and the others say in a column."""

    first: Sequence[str]
    others: Sequence[str]


def _counts_columns(first: Line) -> bool:
    """`0,1`, as pandas writes columns without names; with an empty cell before it where it wrote the index, too."""
    names = [str(cell).strip() for cell in first]
    counted = names[1:] if names[0] in ("", "Unnamed: 0") else names
    return bool(counted) and counted == [str(number) for number in range(len(counted))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Short, and no sentence."""
    short = len(text) <= 40 and len(text.split()) <= 4 and len(WIDE.findall(text)) <= 8
    return short and not text.endswith(ENDS)


def _are_texts(cells: Sequence[str]) -> bool:
    """Whether hardly any of them could be a name."""
    some = cells[:SOME]
    return sum(map(_is_name, some)) <= len(some) / 10


def _are_labels(names: Sequence[str]) -> bool:
    """Whether one that is not among them is hardly a label: they are numbers, or few that come again and again."""
    return bool(names) and (all(map(_is_number, names)) or len(names) >= 2 * len(set(names)))
