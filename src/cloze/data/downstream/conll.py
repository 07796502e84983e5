"""Tagged sentences from files: CoNLL's columns, also in a ZIP archive, JSON lines and Parquet."""

import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cloze.bounded import ExpansionError, read_member
from cloze.data.downstream.examples import TaggedExample
from cloze.data.downstream.split_files import SplitFiles
from cloze.data.downstream.table_files import JSON_SUFFIXES, BadRowError, Table, TableFormat, is_hub, read_table
from cloze.errors import InputError
from cloze.metrics.entities import bio2
from cloze.text.sources.lines import COMPRESSIONS, open_text

DOCUMENT_START = "-DOCSTART-"  # of CoNLL-2003's files
TAG = re.compile(r"O|[BIESULM]-.+")
SPACES = re.compile(" +")


class Sentence(NamedTuple):
    """A sentence as its file has it; ``document`` changes where a document begins, None is a document by itself."""

    where: str
    words: Sequence[str]
    tags: Sequence[str] | None
    document: object


@dataclass(kw_only=True)
class TaggedFiles(SplitFiles):
    """Sentences of words with a tag each.

    A ``.jsonl`` or ``.parquet`` file (or ``hub:NAME[:CONFIG[:SPLIT]]``) has a sentence a row, in two lists. Any other
    has a word a line, in columns cut at tabs (or, in a line without one, at spaces), a blank line between sentences,
    and perhaps ``-DOCSTART-`` lines between documents; it may be compressed (``.gz``, ``.xz``, ``.zst``), and
    ``archive.zip/train.txt`` is one in an archive. Where nothing tells documents, each sentence is one. Tags are read
    in every usual scheme and given as BIO2, see `cloze.metrics.entities.bio2`.

    Attributes:
        text: where the words are: position of the column (from 0, or -1 for the last), by default 0; or name of the
            list, by default ``words``.
        label: where the tags are: by default -1, or ``tags``.
        document: name of the value that the sentences of a document share, one after the other.
    """

    text: int | str | None = None
    label: int | str | None = None
    document: str | None = None

    def read(self, split: str) -> list[TaggedExample]:
        """The sentences of a split, in order.

        Raises:
            InputError: the file is missing or cannot be read, a row is not as it should be, or tags are missing.
        """
        examples: list[TaggedExample] = []
        document: object = None
        number = -1
        for sentence in self._sentences(split):
            if sentence.tags is None and (not split.startswith("test") or (examples and examples[0].tags is not None)):
                raise InputError(f"{sentence.where}: has no tags; add them, or set task.data.label to where they are")
            if sentence.document is None or sentence.document != document or not examples:
                document, number = sentence.document, number + 1
            examples.append(
                TaggedExample(
                    id=str(len(examples)),
                    where=sentence.where,
                    words=tuple(sentence.words),
                    tags=None if sentence.tags is None else tuple(map(sys.intern, bio2(sentence.tags))),
                    document=number,
                )
            )
        return examples

    def _sentences(self, split: str) -> Iterator[Sentence]:
        path = self.paths()[split]
        if is_hub(path):
            return self._listed(read_table(path, split, TableFormat()))
        path = str(Path(path).expanduser())
        archive, in_archive, member = path.rpartition(".zip/")
        file = Path(f"{archive}.zip" if in_archive else path)
        self.check_file(file, split)
        if in_archive or file.suffix == ".zip":
            return self._columns(path, _unzipped(file, member))
        suffix = Path(file.stem).suffix if file.suffix in COMPRESSIONS else file.suffix
        if suffix in (*JSON_SUFFIXES, ".parquet"):
            return self._listed(read_table(path, split, TableFormat()))
        with open_text(path) as stream:
            return self._columns(path, stream.read())

    def _columns(self, path: str, content: bytes) -> Iterator[Sentence]:
        for key, column in (("text", self.text), ("label", self.label)):
            if isinstance(column, str):
                raise InputError(f"{path}: its columns have no names; set task.data.{key} to a position, as 0 or -1")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise InputError(f"{path}, line {line}: is not UTF-8; convert the file with iconv") from error
        words, tags = int(self.text or 0), -1 if self.label is None else int(self.label)
        return column_sentences(path, text, words, tags)

    def _listed(self, table: Table) -> Iterator[Sentence]:
        for key, name in (("text", self.text), ("label", self.label)):
            if isinstance(name, int):
                raise InputError(f"{table.name}: its lists have names; set task.data.{key} to one of them")
        return list_sentences(table, str(self.text or "words"), str(self.label or "tags"), self.document)


def column_sentences(path: str, text: str, word_column: int, tag_column: int) -> Iterator[Sentence]:
    """Sentences of a file with a word a line; without tags when every line is a word and nothing else.

    Args:
        path: for messages.
        text: what the file holds.
        word_column: position, from the end when negative.
        tag_column: position, from the end when negative.
    """
    rows: dict[str, tuple[str, str]] = {}  # of lines, most of which come again and again
    width = first = 0  # columns of the first row, and its line: all others have as many
    words: list[str] = []
    tags: list[str] = []
    start, document = 1, None
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        row = rows.get(line)
        if row is None:
            cells = _cells(line)
            if cells == [""] or DOCUMENT_START in cells:
                if words:
                    yield Sentence(f"{path}, line {start}", words, tags if width > 1 else None, document)
                    words, tags = [], []
                document = number if DOCUMENT_START in cells else document
                continue
            width, first = width or len(cells), first or number
            where = f"{path}, line {number}"
            if len(cells) != width:
                raise InputError(f"{where}: has {len(cells)} columns where line {first} has {width}; mend the line")
            row = rows[line] = _row(where, cells, word_column, tag_column)
        if not words:
            start = number
        words.append(row[0])
        tags.append(row[1])


def _cells(line: str) -> list[str]:
    """Columns of a line. Only spaces and tabs separate them: other white space may be a word."""
    line = line.rstrip(" \t\r")
    return line.split("\t") if "\t" in line else SPACES.split(line)


def _row(where: str, cells: list[str], word_column: int, tag_column: int) -> tuple[str, str]:
    width = len(cells)
    for key, column in (("text", word_column), ("label", tag_column)):
        if not -width <= column < width:
            raise InputError(f"{where}: has {width} columns, counted from 0: there is no task.data.{key}={column}")
    word, tag = sys.intern(cells[word_column]), cells[tag_column]
    if not word:
        raise InputError(f"{where}: its column {word_column}, which task.data.text names, is empty; mend the line")
    if width > 1:
        _check_tag(where, tag)
    return word, tag


def _check_tag(where: str, tag: object) -> None:
    if not isinstance(tag, str) or not TAG.fullmatch(tag):
        raise InputError(
            f"{where}: expected a tag, O or one like B-PER, found {tag!r}; mend it, or set task.data.label to where the"
            " tags are"
        )


def list_sentences(table: Table, text: str, label: str, document: str | None) -> Iterator[Sentence]:
    """Sentences of a table with lists of words and tags."""
    for key, name in (("text", text), ("document", document)):
        if name is not None and name not in table.columns:
            there = ", ".join(table.columns)
            raise InputError(f"{table.name}: has no column {name!r}; set task.data.{key} to one of: {there}")
    for row in table.rows:
        where = f"{table.name}, {table.unit} {row.number}"
        if isinstance(row.cells, BadRowError):
            raise InputError(f"{where}: {row.cells}; mend it")
        cells = dict(zip(table.columns, row.cells, strict=True))
        words, tags = cells[text], cells.get(label)
        if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
            raise InputError(f"{where}: expected a list of words in {text!r}, none of them empty; mend the row")
        if tags is not None:
            if not isinstance(tags, list) or len(tags) != len(words):
                length = f"{len(tags)} entries" if isinstance(tags, list) else "no list"
                raise InputError(f"{where}: has {len(words)} words, but {label!r} has {length}; each word needs a tag")
            for tag in tags:
                _check_tag(where, tag)
        yield Sentence(where, words, tags, None if document is None else cells[document])


def _unzipped(file: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(file) as archive:
            if member in archive.namelist():
                return read_member(archive, member)
            there = ", ".join(f"{file}/{name}" for name in archive.namelist() if not name.endswith("/"))
    except ExpansionError as error:
        raise InputError(f"{file}: {error}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: is not a ZIP archive, or a damaged one ({error}); fetch it again") from error
    raise InputError(f"{file}/{member}: is not in the archive; give one of {there}")
