"""Tagged sentences from files: CoNLL's columns, also in a ZIP archive, CoNLL-U, JSON lines and Parquet."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloze.data.finetuning.conllu import FORM, UPOS, conllu_sentences, position
from cloze.data.finetuning.split_files import SplitFiles, opened_archive
from cloze.data.finetuning.tagged_rows import TaggedRows
from cloze.data.finetuning.tags import Scheme, Sentence, in_one_scheme, named, read_names
from cloze.data.tables.examples import TaggedExample
from cloze.data.tables.formats import JSON_SUFFIXES, TableFormat
from cloze.data.tables.table import is_hub, read_table, text_in
from cloze.errors import InputError
from cloze.files.bounded import read_member
from cloze.runtime.wording import counted
from cloze.text.sources.lines import endings, open_text

DOCUMENT_START = "-DOCSTART-"  # of CoNLL-2003's files
COMMENT = "#"
SPACES = re.compile(" +")


@dataclass(kw_only=True)
class TaggedFiles(SplitFiles):
    """Sentences of words with a tag each, or raw texts with entities.

    A ``.jsonl`` or ``.parquet`` file (or ``hub:NAME[:CONFIG[:SPLIT]]``) has a sentence a row: in two lists, of words
    and of tags; or as a text and its entities, ``[start, end, label]`` or objects with these keys, in characters. Any
    other has a word a line, in columns split at tabs (or, in a line without one, at spaces), a blank line between
    sentences, and perhaps ``-DOCSTART-`` lines between documents; ``.conllu`` is CoNLL-U. It may be compressed
    (``.gz``, ``.xz``, ``.zst``), and ``archive.zip/train.txt`` is one in an archive. Where nothing tells documents,
    each sentence is one. Tags of entities are read in every usual scheme and given as BIO2, see
    `cloze.metrics.entities.bio2`.

    Attributes:
        text: where the words are: position of the column (from 0, or -1 for the last), by default 0, or its name in
            CoNLL-U, by default ``form``; or name of the list, by default ``words`` or ``tokens``, or of the raw text,
            by default ``text``.
        label: where the tags are: by default -1, or ``upos`` in CoNLL-U; or name of the list, by default the one that
            is there of ``tags``, ``ner_tags``, ``pos_tags``, ``upos``, ``labels``; of entities, by default of
            ``label``, ``labels``, ``entities``, ``spans``.
        label_names: of tags that are numbers, in their order; or the file, or the key of the rows, or next to them,
            that holds them.
        scheme: ``entities`` takes tags without B- or I- as types, ``words`` takes each tag by itself; ``auto`` goes by
            the tags of the file.
        document: name of the value that the sentences of a document share, one after the other.
    """

    text: int | str | None = None
    label: int | str | None = None
    label_names: str | Sequence[str] | None = None
    scheme: Scheme = "auto"
    document: str | None = None

    def read(self, split: str) -> list[TaggedExample]:
        """The sentences of a split, in order.

        Raises:
            InputError: the file is missing or cannot be read, a row is not as it should be, or tags are missing.
        """
        examples: list[TaggedExample] = []
        document: object = None
        number = -1
        for sentence in in_one_scheme(list(self._sentences(split)), self.scheme, self.notes):
            if sentence.tags is None and (not split.startswith("test") or (examples and examples[0].tags is not None)):
                raise InputError(
                    f"{sentence.where}: has no tags; add them ([] for a text without an entity), or set task.data.label"
                    " to where they are"
                )
            if sentence.document is None or sentence.document != document or not examples:
                document, number = sentence.document, number + 1
            examples.append(
                TaggedExample(
                    id=str(len(examples)),
                    where=sentence.where,
                    words=tuple(sentence.words),
                    tags=None if sentence.tags is None else tuple(sentence.tags),
                    document=number,
                    text=sentence.text,
                    offsets=tuple(sentence.offsets),
                )
            )
        return examples

    def _sentences(self, split: str) -> Iterator[Sentence]:
        path = self.paths()[split]
        if is_hub(path):
            return self._rows(path, split)
        path = str(Path(path).expanduser())
        archive, in_archive, member = path.rpartition(".zip/")
        file = Path(f"{archive}.zip" if in_archive else path)
        self.check_file(file, split)
        if in_archive or file.suffix.lower() == ".zip":
            return self._columns(path, _unzipped(file, member))
        if endings(path)[0] in (*JSON_SUFFIXES, ".parquet"):
            return self._rows(path, split)
        with open_text(path) as stream:
            return self._columns(path, stream.read())

    def _columns(self, path: str, content: bytes) -> Iterator[Sentence]:
        text = text_in(path, content)
        if endings(path)[0] == ".conllu":
            sentences = conllu_sentences(
                path, text, position(self.text, FORM, "text"), position(self.label, UPOS, "label")
            )
        else:
            for key, column in (("text", self.text), ("label", self.label)):
                if isinstance(column, str):
                    raise InputError(
                        f"{path}: its columns have no names; set task.data.{key} to a position, as 0 or -1"
                    )
            tag_column = -1 if self.label is None else int(self.label)
            sentences = column_sentences(path, text, int(self.text or 0), tag_column)
        if self.label_names is None:
            yield from sentences
            return
        names = read_names(self.label_names)
        for found in sentences:
            tags = None if found.tags is None else [named(tag, names, found.where) for tag in found.tags]
            yield found._replace(tags=tags)

    def _rows(self, path: str, split: str) -> Iterator[Sentence]:
        keys = {"text": self.text, "label": self.label}
        if number := next((key for key, name in keys.items() if isinstance(name, int)), None):
            raise InputError(f"{path}: its lists have names; set task.data.{number} to one of them")
        text, label = (None if name is None else str(name) for name in keys.values())
        rows = TaggedRows(text=text, label=label, label_names=self.label_names, document=self.document)
        yield from rows.read(path, read_table(path, split, TableFormat()))
        self.notes += rows.notes()


def column_sentences(path: str, text: str, word_column: int, tag_column: int) -> Iterator[Sentence]:
    """Sentences of a file with a word a line; without tags when every line is a word and nothing else.

    Args:
        path: for messages.
        text: what the file holds.
        word_column: position, from the end when negative.
        tag_column: position, from the end when negative.
    """
    lines = [*text.split("\n"), ""]
    comments = _comments(lines)
    rows: dict[str, tuple[str, str]] = {}  # of lines, most of which come again and again
    width = first = 0  # columns of the first row, and its line: all others have as many
    words: list[str] = []
    tags: list[str] = []
    start, document = 1, None
    for number, line in enumerate(lines, start=1):
        row = rows.get(line)
        if row is None:
            cells = _cells(line)
            if cells == [""] or DOCUMENT_START in cells:
                if words:
                    yield Sentence(f"{path}, line {start}", words, tags if width > 1 else None, document)
                    words, tags = [], []
                document = number if DOCUMENT_START in cells else document
                continue
            if number in comments:
                continue
            width, first = width or len(cells), first or number
            where = f"{path}, line {number}"
            if len(cells) != width:
                raise InputError(
                    f"{where}: has {counted(len(cells), 'columns')} where line {first} has {width}; fix the line"
                )
            row = rows[line] = _row(where, cells, word_column, tag_column)
        if not words:
            start = number
        words.append(row[0])
        tags.append(row[1])


def _comments(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines before a sentence that begin with # and have not the columns of its words."""
    found: set[int] = set()
    block: list[int] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(COMMENT):
            if block[-1:] == [number - 1] or number == 1 or _cells(lines[number - 2]) == [""]:
                block.append(number)
        elif block and (cells := _cells(line)) != [""]:
            found.update(n for n in block if len(_cells(lines[n - 1])) != len(cells))
            block = []
    return found


def _cells(line: str) -> list[str]:
    """Columns of a line. Only spaces and tabs separate them: other white space may be a word."""
    line = line.rstrip(" \t\r")
    return line.split("\t") if "\t" in line else SPACES.split(line)


def _row(where: str, cells: list[str], word_column: int, tag_column: int) -> tuple[str, str]:
    width = len(cells)
    for key, column in (("text", word_column), ("label", tag_column)):
        if not -width <= column < width:
            raise InputError(
                f"{where}: has {counted(width, 'columns')}, counted from 0: there is no task.data.{key}={column}"
            )
    word, tag = sys.intern(cells[word_column]), cells[tag_column]
    if not word:
        raise InputError(f"{where}: its column {word_column}, which task.data.text names, is empty; fix the line")
    if width > 1 and not tag:
        raise InputError(f"{where}: its column {tag_column}, which task.data.label names, is empty; fix the line")
    return word, tag


def _unzipped(file: Path, member: str) -> bytes:
    with opened_archive(file) as archive:
        if member in archive.namelist():
            return read_member(archive, member)
        there = ", ".join(f"{file}/{name}" for name in archive.namelist() if not name.endswith("/"))
    raise InputError(f"{file}/{member}: is not in the archive; give one of {there}")
