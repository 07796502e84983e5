"""Interpret tags as entities, in any scheme, or as a class of each word; map numbers to names."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cloze.errors import InputError
from cloze.files.bounded import parse_json
from cloze.metrics.entities import OUTSIDE, bio2, is_typed, make_entities
from cloze.text.sources.lines import open_text

Scheme = Literal["auto", "entities", "words"]

BY_WORD = (
    "the tags have no B- or I-, so each counts by itself, and the score is the accuracy; with"
    " task.data.scheme=entities neighbours of one tag make an entity, and the score is F1"
)


class Sentence(NamedTuple):
    """A sentence as its file has it.

    Attributes:
        where: it stands.
        words: of it.
        tags: one a word; None where it is unlabelled.
        document: changes where a document begins; None is a document by itself.
        text: the raw text that the words are from, if they are from one, and
        offsets: where each stands in it.
    """

    where: str
    words: Sequence[str]
    tags: Sequence[str] | None
    document: object = None
    text: str | None = None
    offsets: Sequence[tuple[int, int]] = ()


def in_one_scheme(sentences: Sequence[Sentence], scheme: Scheme, notes: list[str]) -> list[Sentence]:
    """The sentences with the tags of entities in BIO2, and those that make none as they are.

    Args:
        sentences: of a split.
        scheme: ``entities`` takes tags without B- or I- as their types, ``words`` takes each tag by itself; ``auto``
            goes by the tags.
        notes: where it is said how tags were taken.

    Raises:
        InputError: some tags have B- or I-, and others have neither.
    """
    tags = {tag for sentence in sentences for tag in sentence.tags or ()} - {OUTSIDE}
    if scheme == "words" and make_entities(tags):
        raise InputError(
            f"task.data.scheme=words: every tag of {_file(sentences)} is one of an entity, as {min(tags)}; leave it out"
        )
    if scheme == "words" or (scheme == "auto" and tags and not make_entities(tags)):
        if scheme == "auto":
            _check_none_is_typed(sentences, tags)
            if BY_WORD not in notes and any(OUTSIDE in (sentence.tags or ()) for sentence in sentences):
                notes.append(BY_WORD)
        return list(sentences)
    read = {tag: tag if is_typed(tag) or make_entities(tags) else f"I-{tag}" for tag in tags}
    return [
        sentence
        if sentence.tags is None
        else sentence._replace(tags=tuple(map(sys.intern, bio2([read.get(tag, tag) for tag in sentence.tags]))))
        for sentence in sentences
    ]


def _check_none_is_typed(sentences: Sequence[Sentence], tags: Collection[str]) -> None:
    typed = sorted(filter(is_typed, tags))
    for sentence in sentences if typed else ():
        for word, tag in zip(sentence.words, sentence.tags or (), strict=bool(sentence.tags)):
            if tag != OUTSIDE and not is_typed(tag):
                raise InputError(
                    f"{sentence.where}: the word {word!r} has the tag {tag!r}, but others have B- or I-, as"
                    f" {typed[0]!r}; fix it, or set task.data.label to where the tags are, or task.data.scheme=words"
                    " if each tag counts by itself"
                )


def _file(sentences: Sequence[Sentence]) -> str:
    return sentences[0].where.rpartition(",")[0]


def read_names(given: str | Sequence[str]) -> list[str]:
    """The names of numbered tags: a list, or a file with one a line, or with a JSON list or ``id2label``.

    Raises:
        InputError: the file is not there, or does not hold names.
    """
    if not isinstance(given, str):
        return list(given)
    path = Path(given).expanduser()
    if not path.is_file():
        raise InputError(
            f"task.data.label_names={given}: is neither a key of the rows nor a file; give the names in order, as"
            " [O,B-PER,I-PER], or where they are"
        )
    with open_text(str(path)) as stream:
        content = stream.read()
    try:
        found = parse_json(content) if path.suffix.lower() == ".json" else content.decode().split("\n")
    except ValueError as error:
        raise InputError(f"{path}: holds no names of tags ({error}); write one a line") from error
    return names_in(found, str(path))


def names_in(found: object, where: str) -> list[str]:
    """The names in a list, or in an object from numbers to names as ``id2label`` of a model's ``config.json``.

    Raises:
        InputError: it is neither.
    """
    if isinstance(found, dict):
        found = found.get("id2label", found)
    if isinstance(found, dict) and sorted(found) == sorted(map(str, range(len(found)))):
        found = [found[str(number)] for number in range(len(found))]
    names = [name.strip() if isinstance(name, str) else name for name in found] if isinstance(found, list) else []
    if names and not names[-1]:
        names.pop()  # the line behind the last line feed
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}: expected the names of the tags in a list, in the order of their numbers")
    return names


def named(tag: object, names: Sequence[str] | None, where: str) -> str:
    """A tag by its name.

    Raises:
        InputError: it is a number that has none, no text, or empty.
    """
    if names is not None and isinstance(tag, str) and tag.isascii() and tag.isdigit() and tag not in names:
        tag = int(tag)
    if isinstance(tag, int) and not isinstance(tag, bool):
        if names is None:
            raise InputError(
                f"{where}: its tags are numbers, as {tag}; give their names in order with"
                " task.data.label_names=[O,B-PER,...], or the key or the file that holds them"
            )
        if not 0 <= tag < len(names):
            raise InputError(f"{where}: has the tag {tag}, but task.data.label_names has {len(names)}, counted from 0")
        return names[tag]
    if not isinstance(tag, str) or not tag.strip():
        raise InputError(
            f"{where}: expected a tag, as B-PER or NOUN, found {tag!r}; fix it, or set task.data.label to where the"
            " tags are"
        )
    if names is not None and tag not in names:
        raise InputError(f"{where}: has the tag {tag!r}, which is not among task.data.label_names")
    return tag
