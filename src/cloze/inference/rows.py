"""From rows of a stream to rows of predictions, a chunk at a time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cloze.data.long_texts import batched
from cloze.data.tables.delimited_output import flat
from cloze.data.tables.examples import Example, Prediction
from cloze.data.tables.stream import StreamRow, leave_out
from cloze.errors import BadRowError
from cloze.inference.predictor import Predictor

ROWS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 2_000_000
"""Of a chunk, whose rows are sorted by length: enough for full batches of similar lengths, little enough for memory."""


@dataclass(frozen=True, kw_only=True)
class RowPredictor:
    """What is written of each row.

    Attributes:
        maker: from a row to an example; it raises `BadRowError`.
        predictor: from examples to predictions.
        keep: the row's own cells are written, too.
        flat: one value a column, as in CSV.
        on_bad_row: ``stop``, or ``skip`` and count rows that cannot be predicted; None stops and knows no other way.
    """

    maker: Callable[[StreamRow], Example]
    predictor: Predictor[Any]
    keep: bool = True
    flat: bool = False
    on_bad_row: Literal["stop", "skip"] | None = "stop"

    def predict(self, chunk: Sequence[StreamRow], counts: Counter[str]) -> list[Prediction]:
        """The predictions for the rows of a chunk, in their order; nothing of bad ones, which are counted.

        Raises:
            InputError: a row is bad.
        """
        rows: list[StreamRow] = []
        examples: list[Example] = []
        for row in chunk:
            try:
                examples.append(self.maker(row))
                rows.append(row)
            except BadRowError as bad:
                leave_out(bad, row.where, self.on_bad_row, counts)
        written = []
        for row, said in zip(rows, self.predictor.predict(examples) if examples else [], strict=True):
            if isinstance(said, BadRowError):
                leave_out(said, row.where, self.on_bad_row, counts)
                continue
            said = flat(said) if self.flat else said
            written.append(with_cells(row.cells, said, self.predictor.repeats) if self.keep else said)
        return written


def with_cells(cells: Mapping[str, Any], said: Prediction, repeats: frozenset[str]) -> Prediction:
    """A prediction with the row's own cells in place of what repeats them; `input_NAME` where both have a name."""
    new = {key: value for key, value in said.items() if key not in repeats or (key == "words" and key not in cells)}
    own = {(f"input_{key}" if key in new else key): cell for key, cell in cells.items() if key != "id"}
    return {"id": new.pop("id"), **own, **new}


def chunks(rows: Iterable[StreamRow], most: int = ROWS_AT_ONCE) -> Iterator[list[StreamRow]]:
    """Rows in lists of at most this many, and of about this many characters as are held at once."""
    return batched(
        rows,
        lambda row: sum(len(cell) for cell in row.cells.values() if isinstance(cell, str)),
        CHARACTERS_AT_ONCE,
        most,
    )
