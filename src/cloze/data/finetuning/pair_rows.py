"""Streamed rows as examples to be scored: pairs, or the positives and negatives of training data."""

import re
from collections.abc import Mapping
from typing import Any

from cloze.data.finetuning.pair_tables import NAMES, NUMBERED, texts_of
from cloze.data.tables.cells import text_of
from cloze.data.tables.columns import cell_of
from cloze.data.tables.examples import PairExample
from cloze.data.tables.row_examples import ExampleMaker
from cloze.data.tables.stream import StreamRow


def compared(maker: ExampleMaker, row: StreamRow) -> PairExample:
    """A text with another one; or, of a row as training data has it, with its positives, then its negatives.

    Raises:
        BadRowError: the row has neither.
    """
    columns, cells = maker.columns, row.cells
    if columns.text_pair is not None or "text_pair" in cells:
        return maker.compared(row)
    positives, negatives = _cells(cells, "positive"), _cells(cells, "negatives")
    negatives += [cell for name, cell in cells.items() if re.fullmatch(NUMBERED, name)]
    others = [text for cell in (*positives, *negatives) for text in texts_of(cell, "text_pair")]
    if not others:
        return maker.compared(row)  # which says what is missing
    asked = _cells(cells, "text") if columns.text is None else [cell_of(cells, columns.text, "text")]
    return PairExample(
        id=maker.id(row),
        where=row.where,
        text=text_of(asked[0] if asked else cell_of(cells, "text", "text"), "text"),
        positive=others[0],
        negatives=tuple(others[1:]),
        is_judged=not negatives and not isinstance(positives[0], list),
    )


def _cells(cells: Mapping[str, Any], key: str) -> list[Any]:
    """The cell in the first column with a name that is in use, if there is one."""
    return [cells[name] for name in NAMES[key] if name in cells][:1]
