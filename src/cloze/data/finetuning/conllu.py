"""CoNLL-U, the format of Universal Dependencies: https://universaldependencies.org/format.html.

A word a line in ten columns, a blank line behind each sentence, comments before it. Lines of multiword tokens (``4-5``)
and of empty nodes (``8.1``) stand next to those of words, and are no words.
"""

import re
from collections.abc import Iterator

from cloze.data.finetuning.tags import Sentence
from cloze.errors import InputError

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FORM, UPOS = COLUMNS.index("form"), COLUMNS.index("upos")
WORD, OTHER = re.compile(r"\d+"), re.compile(r"\d+-\d+|\d+\.\d+")
NO_TAG = "_"


def conllu_sentences(path: str, text: str, word_column: int, tag_column: int) -> Iterator[Sentence]:
    """The sentences of a file; one is unlabelled where no word has a tag.

    Args:
        path: for messages.
        text: what the file holds.
        word_column: position.
        tag_column: position.

    Raises:
        InputError: a line is not of this format, or has a word without a tag next to others with one.
    """
    words: list[str] = []
    tags: list[str] = []
    start, document = 1, None
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        line = line.rstrip("\r")
        where = f"{path}, line {number}"
        if not line.strip():
            if words:
                yield _sentence(f"{path}, line {start}", words, tags, document)
                words, tags = [], []
        elif line.startswith("#"):
            document = number if line[1:].strip().startswith("newdoc") else document
        else:
            cells = line.split("\t")
            if len(cells) != len(COLUMNS) or not (WORD.fullmatch(cells[0]) or OTHER.fullmatch(cells[0])):
                raise InputError(
                    f"{where}: expected the ten columns of CoNLL-U with tabs between them, the first a number; fix the"
                    " line, or give the file another suffix than .conllu"
                )
            if OTHER.fullmatch(cells[0]):
                continue
            start = start if words else number
            words.append(cells[word_column].strip())
            tags.append(cells[tag_column].strip())
            if not words[-1]:
                raise InputError(f"{where}: its {COLUMNS[word_column]} is empty; fix the line")


def _sentence(where: str, words: list[str], tags: list[str], document: object) -> Sentence:
    if all(tag in ("", NO_TAG) for tag in tags):
        return Sentence(where, words, None, document)
    if absent := [word for word, tag in zip(words, tags, strict=True) if tag in ("", NO_TAG)]:
        raise InputError(f"{where}: the word {absent[0]!r} has no tag, but others have; fix it")
    return Sentence(where, words, tags, document)


def position(column: int | str | None, default: int, key: str) -> int:
    """Where a column stands, by its position or by its name in the format.

    Raises:
        InputError: there is none of that name or number.
    """
    if column is None:
        return default
    if isinstance(column, str) and column.lower() in COLUMNS:
        return COLUMNS.index(column.lower())
    if isinstance(column, int) and -len(COLUMNS) <= column < len(COLUMNS):
        return column % len(COLUMNS)
    raise InputError(f"task.data.{key}={column}: CoNLL-U has the columns {', '.join(COLUMNS)}, counted from 0")
