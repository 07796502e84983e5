"""The interface of text sources: units of work, and the documents in each."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """One text whose sentences belong together: sentence pairs never cross its ends."""

    lines: list[str]  # paragraphs or sentences as the source gives them; stripped, none empty
    origin: str  # where it begins, for messages: "path, byte N" or "path, row N"


class Unit(NamedTuple):
    """A piece of work for one worker. The list of units depends on the input alone, never on the number of workers."""

    path: str  # file, or what the source calls its piece
    start: int  # first byte (or row group) when a file is split into ranges, else 0
    end: int  # one past the last byte (or row group), -1 for the whole
    bytes: int  # estimated size of the text, by which units are grouped into shards


class Source(Protocol):
    """Where text comes from. Sources are frozen dataclasses, so that worker processes can receive them."""

    @property
    def name(self) -> str:
        """A short name, for messages and the manifest."""

    def units(self) -> list[Unit]:
        """All units in a fixed order, without reading the text.

        Raises:
            InputError: a path is missing, a pattern matches nothing, an option does not fit its files.
        """

    def documents(self, unit: Unit, counts: Counter[str]) -> Iterator[Document]:
        """Streams the documents of `unit`; adds to `counts` what was skipped (``undecodable_lines``, ...).

        Raises:
            InputError: the text cannot be read; names the file and the line.
        """

    def fingerprint(self) -> dict[str, object]:
        """What identifies the input, as JSON: paths, sizes, times of change, versions."""


class SentenceSplitter(Protocol):
    """Splits a line of a document into sentences."""

    def split(self, line: str) -> list[str]:
        """Sentences of `line`, stripped, none empty; joined they equal the line up to white space."""


def paragraphs(text: str) -> list[str]:
    """The lines of a text that are not blank, stripped, as a `Document` has them."""
    return [stripped for line in text.split("\n") if (stripped := line.strip())]
