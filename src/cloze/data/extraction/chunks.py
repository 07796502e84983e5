"""Chunks of texts that are sorted, computed and written together, with bounded memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from cloze.data.extraction.text_tokens import RowText, TextTokens
from cloze.data.tables.stream import StreamRow, leave_out
from cloze.errors import BadRowError

LOOK_AHEAD_TOKENS = 1 << 17
"""Sorted by length together; some five thousand sentences."""

ROWS_AT_ONCE = 256  # of the input, given to the tokenizer
CHARACTERS_AT_ONCE = 500_000


class Reads(Protocol):
    """Takes the text out of a row, as ``RowReader`` does."""

    def read(self, cells: Mapping[str, Any]) -> RowText:
        """The text of a row."""


class Encodes(Protocol):
    """Texts to their tokens, as ``TextEncoder`` does."""

    def encode(self, rows: Sequence[RowText]) -> list[TextTokens]:
        """The tokens of each row, in their order."""


class Chunk(NamedTuple):
    """Texts that are written together.

    Attributes:
        numbers: of their rows in the input.
        rows: what the rows say.
        texts: their tokens.
        next_row: of the input, where the next chunk begins.
        left_out: rows, by what was wrong with them, from the beginning of the input to here.
        notes: what had to be done to the texts of this chunk, and to how many.
    """

    numbers: list[int]
    rows: list[RowText]
    texts: list[TextTokens]
    next_row: int
    left_out: dict[str, int]
    notes: dict[str, int]


class _Text(NamedTuple):
    number: int
    row: RowText
    tokens: TextTokens
    left_out: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Splits a stream of rows into chunks. Where they are split is a function of the rows alone, wherever one begins.

    Attributes:
        reader: takes the text out of a row.
        encoder: makes it tokens.
        bytes_of: of what a text becomes.
        most_bytes: of a chunk.
        longest_bytes: of a single text; a longer one is a bad row.
        on_bad_row: ``stop`` or ``skip``.
        counts: rows that were left out; also reported by what reads the rows.
    """

    reader: Reads
    encoder: Encodes
    bytes_of: Callable[[TextTokens], int]
    most_bytes: int
    longest_bytes: int
    on_bad_row: Literal["stop", "skip"]
    counts: Counter[str]

    def cut(self, rows: Iterable[StreamRow]) -> Iterator[Chunk]:
        """The chunks, none of them empty.

        Raises:
            InputError: a row that holds no text as it should.
        """
        held: list[_Text] = []
        tokens = size = 0
        for text in self._texts(iter(rows)):
            own_tokens, own_size = len(text.tokens.ids), self.bytes_of(text.tokens)
            if held and (tokens + own_tokens > LOOK_AHEAD_TOKENS or size + own_size > self.most_bytes):
                yield _chunk(held)
                held, tokens, size = [], 0, 0
            held.append(text)
            tokens, size = tokens + own_tokens, size + own_size
        if held:
            yield _chunk(held)

    def _texts(self, rows: Iterator[StreamRow]) -> Iterator[_Text]:
        while group := self._group(rows):
            encoded = self.encoder.encode([row for _, row, _ in group])
            late: Counter[str] = Counter()  # left out of this group by what their tokens would take
            for (found, row, left_out), tokens in zip(group, encoded, strict=True):
                if (size := self.bytes_of(tokens)) <= self.longest_bytes:
                    yield _Text(found.number, row, tokens, dict(Counter(left_out) + late))
                    continue
                reason = (
                    f"has a text of {len(tokens.ids):,} tokens, whose hidden states take {size / 2**20:,.0f} MiB; "
                    "split it into shorter texts, or take fewer layers, or one embedding a text as level=mean"
                )
                leave_out(BadRowError("texts that are too long", reason), found.where, self.on_bad_row, late)
            self.counts.update(late)

    def _group(self, rows: Iterator[StreamRow]) -> list[tuple[StreamRow, RowText, dict[str, int]]]:
        """The next rows, each with what had been left out when it came."""
        group: list[tuple[StreamRow, RowText, dict[str, int]]] = []
        characters = 0
        for found in rows:
            try:
                row = self.reader.read(found.cells)
            except BadRowError as error:
                leave_out(error, found.where, self.on_bad_row, self.counts)
                continue
            group.append((found._replace(cells={}), row, dict(self.counts)))
            characters += row.characters
            if len(group) == ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
                break
        return group


def _chunk(held: list[_Text]) -> Chunk:
    return Chunk(
        [text.number for text in held],
        [text.row for text in held],
        [text.tokens for text in held],
        held[-1].number + 1,
        held[-1].left_out,
        dict(Counter(note for text in held for note in text.tokens.notes)),
    )
