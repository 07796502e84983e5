"""Readable Markdown tables, with text escaped inside cells."""

import re
from collections.abc import Iterable, Sequence

WIDEST = 40  # characters
SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|(?<!\w)_|_(?!\w)")  # an underscore within a word is one in Markdown, too


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned up to `WIDEST`; the cells are Markdown already."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [min(WIDEST, max(3, *(len(row[column]) for row in cells))) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def plain(text: str, longest: int = 300) -> str:
    """Any text as one line of Markdown that shows it literally, truncated with `…` at `longest` characters."""
    line = " ".join(text.split())
    return SPECIAL.sub(r"\\\g<0>", line if len(line) <= longest else line[: longest - 1].rstrip() + "…")
