"""Tagged sentences in tables: lists of words and tags, or raw text with entities."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cloze.data.finetuning.tags import Sentence, named, names_in, read_names
from cloze.data.tables.spans import spans_of, tagged
from cloze.data.tables.table import Table
from cloze.errors import BadRowError, InputError
from cloze.files.bounded import parse_json
from cloze.runtime.wording import counted
from cloze.text.sources.lines import open_text

WORDS, TEXT = ("words", "tokens"), "text"
TAGS = ("tags", "ner_tags", "pos_tags", "upos", "labels")
SPANS = ("label", "labels", "entities", "spans")
OVERLAPPING = "shares a word with a longer one and is left out"
WIDENED = "begins or ends within a word and is widened to all of it"


@dataclass(kw_only=True)
class TaggedRows:
    """How rows are read.

    Attributes:
        text: name of the list of words, or of the raw text; None looks for the usual ones.
        label: name of the list of tags, or of entities; None looks for the usual ones.
        label_names: of tags that are numbers: as they are, their file, or the column that has them in each row.
        document: name of the value that the sentences of a document share.
        odd: where entities are that could not be taken as they are, by why.
    """

    text: str | None = None
    label: str | None = None
    label_names: str | Sequence[str] | None = None
    document: str | None = None
    odd: dict[str, list[str]] = field(default_factory=dict, init=False)

    def read(self, path: str, table: Table) -> Iterator[Sentence]:
        """The sentences of a table.

        Raises:
            InputError: it does not have the columns, or a row holds something else.
        """
        for key, name in (("text", self.text), ("document", self.document)):
            if name is not None and name not in table.columns:
                raise InputError(f"{table.name}: has no column {name!r}; set task.data.{key} to one of: {_all(table)}")
        names = self._names(path, table)
        text = label = None
        for row in table.rows:
            where = f"{table.name}, {table.unit} {row.number}"
            if isinstance(row.cells, BadRowError):
                raise InputError(f"{where}: {row.cells}; fix it")
            cells = dict(zip(table.columns, row.cells, strict=True))
            if text is None:
                text = self._text_column(table, cells)
                is_raw = isinstance(cells[text], str)
                label = self._label_column(table, SPANS if is_raw else TAGS)
            labels = None if label is None else cells[label]
            document = None if self.document is None else cells[self.document]
            if is_raw:
                yield self._raw(where, text, cells[text], label, labels)._replace(document=document)
                continue
            if self.label_names in table.columns:
                names = names_in(cells[str(self.label_names)], where)
            yield Sentence(where, *_lists(where, text, cells[text], label, labels, names), document)

    def notes(self) -> list[str]:
        """What is to be said of entities that could not be taken as they are: how many, and where the first is."""
        return [f"{places[0]}: an entity {what} ({len(places):,} in all)" for what, places in self.odd.items()]

    def _text_column(self, table: Table, cells: Mapping[str, Any]) -> str:
        if self.text is not None:
            return self.text
        for name in WORDS:
            found = cells.get(name)
            if isinstance(found, list) and all(isinstance(word, str) for word in found):
                return name
        if isinstance(cells.get(TEXT), str):
            return TEXT
        there = next((name for name in (*WORDS, TEXT) if name in cells), None)
        if there is None:
            raise InputError(
                f"{table.name}: has neither {', '.join(WORDS)} nor {TEXT}; set task.data.text to one of: {_all(table)}"
            )
        return there

    def _label_column(self, table: Table, usual: Sequence[str]) -> str | None:
        """That of the labels; None where it is not given and there is none, as in a test split."""
        if self.label is not None:
            return self.label if self.label in table.columns else None
        found = [name for name in usual if name in table.columns and name != self.text]
        if len(found) > 1:
            raise InputError(f"{table.name}: has {' and '.join(found)}; set task.data.label to the one that is meant")
        return found[0] if found else None

    def _names(self, path: str, table: Table) -> list[str] | None:
        if self.label_names is None:
            return _stated_names(path, self._label_column(table, TAGS)) if path.endswith(".parquet") else None
        if self.label_names in table.columns:
            return None
        beside = _beside(path, self.label_names) if isinstance(self.label_names, str) else None
        return read_names(self.label_names) if beside is None else names_in(beside, path)

    def _raw(self, where: str, name: str, text: object, label: str | None, cell: object) -> Sentence:
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: expected a text in {name!r}; fix it, or take the row out")
        try:
            words = tagged(text, None if cell is None else spans_of(cell, text))
        except ValueError as error:
            raise InputError(f"{where}: its {label!r} {error}; fix it, or set task.data.label") from error
        for what, count in ((OVERLAPPING, words.overlapping), (WIDENED, words.widened)):
            if count:
                self.odd.setdefault(what, []).extend([where] * count)
        found = [text[start:end] for start, end in words.offsets]
        return Sentence(where, found, words.tags, text=text, offsets=words.offsets)


def _lists(
    where: str, text: str, words: object, label: str | None, tags: object, names: Sequence[str] | None
) -> tuple[list[str], list[str] | None]:
    """Words and tags that belong together."""
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise InputError(f"{where}: expected a list of words in {text!r}, none of them empty; fix the row")
    if tags is None:
        return words, None
    if not isinstance(tags, list) or len(tags) != len(words):
        length = counted(len(tags), "entries") if isinstance(tags, list) else "no list"
        raise InputError(
            f"{where}: has {counted(len(words), 'words')}, but {label!r} has {length}; each word needs a tag"
        )
    return words, [named(tag, names, where) for tag in tags]


def _beside(path: str, key: str) -> Any:
    """What a JSON document holds under a key, besides its rows; None where it is no such document."""
    if Path(path).suffix.lower() != ".json":
        return None
    with open_text(path) as stream:
        content = stream.read()
    try:
        document = parse_json(content)
    except ValueError:  # JSON lines
        return None
    return document.get(key) if isinstance(document, dict) else None


def _stated_names(path: str, column: str | None) -> list[str] | None:
    """The names of the tags that a Parquet file of `datasets` states in its schema."""
    stated = (pq.read_schema(path).metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(stated or b"{}")["info"]["features"][column]
        feature = feature.get("feature", feature) if isinstance(feature, dict) else feature[0]
        return names_in(feature["names"], path)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, InputError):
        return None


def _all(table: Table) -> str:
    return ", ".join(table.columns)
