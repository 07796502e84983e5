"""Convert streamed rows to examples of a task, without labels."""

from collections.abc import Callable, Mapping
from typing import Any

from cloze.data.tables.cells import choices_of, is_absent, items_of, text_of
from cloze.data.tables.columns import Columns, cell_of
from cloze.data.tables.examples import ChoiceExample, PairExample, QuestionExample, TaggedExample, TextExample
from cloze.data.tables.spans import words_of
from cloze.data.tables.stream import StreamRow
from cloze.errors import BadRowError

Make = Callable[["ExampleMaker", StreamRow], Any]
"""A method of `ExampleMaker`: what makes the examples of a task."""


class ExampleMaker:
    """From a row to an example, by the names of the columns.

    Every method raises `BadRowError` where the row has not what is needed.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def text(self, row: StreamRow) -> TextExample:
        """A text, or a pair where the row has one. One that is empty keeps its row."""
        name, cells = self.columns.text_pair or "text_pair", row.cells
        if self.columns.text_pair is not None:
            self._cell(row, "text_pair")
        pair = None if is_absent(cells.get(name)) else text_of(cells[name], name)
        text = "" if is_absent(found := self._cell(row, "text")) else text_of(found, "text")
        return TextExample(id=self.id(row), where=row.where, text=text, text_pair=pair)

    def pair(self, row: StreamRow) -> TextExample:
        """A pair of texts."""
        first, second = self._text(row, "text"), self._text(row, "text_pair")
        return TextExample(id=self.id(row), where=row.where, text=first, text_pair=second)

    def compared(self, row: StreamRow) -> PairExample:
        """A text and another one, to say how well they belong together."""
        first, second = self._text(row, "text"), self._text(row, "text_pair")
        return PairExample(id=self.id(row), where=row.where, text=first, positive=second)

    def words(self, row: StreamRow) -> TaggedExample:
        """A sentence, or a raw text with where its words are; each is its own document. An empty one keeps its row."""
        found = self._cell(row, "words", "text")
        is_raw = isinstance(found, str) and self.columns.words is None and "words" not in row.cells
        offsets = words_of(found) if is_raw else []
        words = [found[start:end] for start, end in offsets] if is_raw else [] if is_absent(found) else found
        if isinstance(words, str):
            words = words.split()
        if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() for w in words):
            raise BadRowError("no words", "has no list of words, none of them empty, and no text")
        return TaggedExample(
            id=self.id(row),
            where=row.where,
            words=tuple(words),
            tags=None,
            document=row.number,
            text=found if is_raw else None,
            offsets=tuple(offsets),
        )

    def question(self, row: StreamRow) -> QuestionExample:
        """A question on a passage."""
        context = self._cell(row, "context", "text_pair")
        if is_absent(context) or not isinstance(context, str):
            raise BadRowError("no passage", "has no passage")
        question = text_of(self._cell(row, "question", "text"), "question")
        # The passage keeps the white space around it: answers are counted in its characters.
        return QuestionExample(id=self.id(row), where=row.where, question=question, context=context, answers=None)

    def choice(self, row: StreamRow) -> ChoiceExample:
        """A beginning with two choices at least."""
        named = self.columns.choices
        found = [cell_of(row.cells, name, "choices") for name in named] if isinstance(named, list) else None
        if found is None:
            found = list(items_of(self._cell(row, "choices", "text_pair"))[0])
        choices = choices_of(found)
        return ChoiceExample(
            id=self.id(row), where=row.where, text=self._text(row, "text"), choices=choices, label=None
        )

    def id(self, row: StreamRow) -> str:
        """The row's own name, else its number."""
        if self.columns.id is not None:
            return text_of(cell_of(row.cells, self.columns.id, "id"), "id")
        own = row.cells.get("id")
        return str(row.number) if is_absent(own) or not isinstance(own, str | int) else str(own)

    def _text(self, row: StreamRow, key: str) -> str:
        return text_of(self._cell(row, key), key)

    def _cell(self, row: StreamRow, key: str, other: str | None = None) -> Any:
        """The cell in the column that is configured, or in the one of the key's or the other name."""
        name = getattr(self.columns, key)
        if name is None and key not in row.cells and other is not None and self._has(row.cells, other):
            name = getattr(self.columns, other) or other
        return cell_of(row.cells, name or key, key)

    def _has(self, cells: Mapping[str, Any], key: str) -> bool:
        return (getattr(self.columns, key) or key) in cells
