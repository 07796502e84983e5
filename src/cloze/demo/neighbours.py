"""The neighbours tab: the nearest sentences in a list."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from nicegui import ui

from cloze.demo.parts import IncompleteError, Live, bars, field, heading, hint, notes
from cloze.demo.reader import Reader

MOST_SENTENCES = 2_000
LONGEST_LIST = 200_000
"""Characters that can be pasted."""

SHOWN = 10
QUERY = "How do I read a file?"
SENTENCES = """\
Open a text and return its content.
The cat sleeps on the warm roof.
Return the number of items in the list.
A kitten lies in the sun.
Raise an error if the file does not exist.
The train to Berlin leaves at noon.
Write the lines to disk.
The bus departs at twelve o'clock."""


class Near(NamedTuple):
    """Sentences with their cosine to the one that was asked for, nearest first; of how many; and notes."""

    rows: list[tuple[str, float]]
    total: int
    notes: tuple[str, ...]


def neighbours_tab(reader: Reader, given: Sequence[str], source: str | None) -> Live[tuple[str, list[str]], Near]:
    """A sentence, a list of sentences, and bars of the nearest.

    Args:
        reader: the model.
        given: sentences of a file.
        source: its name.
    """
    among = f" They are looked for among the {len(given):,} of {source} and what you add." if given else ""
    embeddings = "embeddings" if reader.embeds else "embeddings: the means over their tokens in the last layer"
    ui.label(f"The sentences that are nearest to one, by the cosine of their {embeddings}.{among}").classes("lead")
    own = list(dict.fromkeys(row["text"] for row in reader.examples.cells))
    asked, listed = (own[0], "\n".join(own)) if len(own) > 2 else (QUERY, SENTENCES)
    query = field("Sentence", given[0] if given else asked, lambda: live.refresh(), rows=1)
    more = "More sentences, one a line" if given else "Sentences, one a line"
    box = field(
        more,
        "" if given else listed,
        lambda: live.refresh(),
        rows=8,
        longest=LONGEST_LIST,
    )

    def read() -> tuple[str, list[str]]:
        asked = (query.value or "").strip()
        pasted = [line.strip() for line in (box.value or "").splitlines() if line.strip()]
        if not asked:
            raise IncompleteError("Write a sentence.")
        if not pasted and not given:
            raise IncompleteError("Paste sentences to look among, one a line.")
        return asked, pasted

    def draw(near: Near) -> None:
        notes((*reader.unknown(query.value or ""), *near.notes))
        heading(f"The nearest of {near.total:,}, by cosine")
        bars(near.rows, values=[f"{value:.3f}" for _, value in near.rows], wide=True)
        if near.total == 0:
            hint("There is no other sentence.")

    live = Live(read, lambda asked: nearest(reader, *asked, given), draw)
    return live


def nearest(reader: Reader, query: str, pasted: Sequence[str], given: Sequence[str]) -> Near:
    """The sentences nearest to ``query``; what is said twice counts once, and the sentence itself not at all."""
    told = []
    if len(pasted) > MOST_SENTENCES:
        told.append(
            f"Of {len(pasted):,} pasted lines the first {MOST_SENTENCES:,} are taken; give more as sentences=FILE."
        )
    texts = [text for text in dict.fromkeys([*given, *pasted[:MOST_SENTENCES]]) if text != query]
    if not texts:
        return Near([], 0, tuple(told))
    vectors = reader.vectors([query, *texts])
    cosines = vectors[1:] @ vectors[0]
    best = np.argsort(-cosines, kind="stable")[:SHOWN]
    return Near([(texts[number], float(cosines[number])) for number in best], len(texts), tuple(told))
