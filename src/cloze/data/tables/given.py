"""Texts passed in Python instead of a file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cloze.data.tables.row_examples import ExampleMaker, Make
from cloze.data.tables.stream import StreamRow
from cloze.errors import InputError

Text = str | tuple[str, str]
"""A text, or a pair of texts."""


def list_of(given: Any, name: str) -> list[Any]:
    """The elements of a list.

    Raises:
        InputError: it is a text, or no list.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InputError(f"{name} is {given!r:.60}, but must be a list: give [...] around it")
    return list(given)


def pairs_of(texts: Any) -> Iterator[tuple[str, str | None]]:
    """Of each element the text and the second one, None where there is none.

    Raises:
        InputError: an element is neither a text nor a pair of texts.
    """
    for number, text in enumerate(list_of(texts, "texts")):
        if isinstance(text, str):
            yield text, None
        elif isinstance(text, tuple | list) and len(text) == 2 and all(isinstance(part, str) for part in text):
            yield text[0], text[1]
        else:
            raise InputError(f"texts[{number}] is {text!r:.60}, but must be a text or a pair of texts")


def rows_of(texts: Sequence[Any], make: Make) -> Iterator[StreamRow]:
    """The rows of a table that say the same."""
    for number, text in enumerate(texts):
        if isinstance(text, Mapping):
            cells = dict(text)
        elif make is ExampleMaker.words and isinstance(text, tuple | list):
            cells = {"words": list(text)}
        elif isinstance(text, tuple | list) and len(text) == 2:
            cells = {"text": text[0], "text_pair": text[1]}
        else:
            cells = {"text": text}
        yield StreamRow(number, f"texts[{number}]", cells)
