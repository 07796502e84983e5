"""The search tab: the texts of a file of embeddings that are nearest to a query."""

import re
from typing import NamedTuple

from nicegui import ui

from cloze.demo.parts import IncompleteError, Live, examples, field, heading, notes
from cloze.demo.reader import Near, Reader
from cloze.retrieval.index import Hit

BEGINNING = 400
"""Characters of a text that are shown at first."""


class Asked(NamedTuple):
    """What is looked for, and how many texts are shown."""

    query: str
    most: int


def search_tab(reader: Reader) -> Live[Asked, Near]:
    """A query, and the nearest texts with their scores."""
    index = reader.index
    assert index is not None
    by = "cosine" if index.embedder.similarity == "cosine" else "dot product"
    prompt = index.embedder.query_prompt
    ui.label(
        f"The nearest of the {len(index):,} texts in {index.path.name}, by the {by} of their embeddings."
        + (f" The model reads {prompt!r} in front of what you write." if prompt else "")
    ).classes("lead")
    known = list(dict.fromkeys(row["text"] for row in reader.examples.cells))
    box = field("Query", known[0] if known else "", lambda: live.refresh(), rows=1)
    if len(known) > 1:
        with ui.row().classes("examples"):
            examples([(text,) for text in known], [box])
    last = Asked("", reader.top_k)

    def read() -> Asked:
        nonlocal last
        query = (box.value or "").strip()
        if not query:
            raise IncompleteError("Write what you look for: a question, a title, a few words.")
        if query != last.query:
            last = Asked(query, reader.top_k)
        return last

    async def more() -> None:
        nonlocal last
        last = last._replace(most=last.most + reader.top_k)
        await live.refresh()

    def draw(near: Near) -> None:
        notes((*reader.unknown(last.query), *near.notes))
        heading(f"The {len(near.hits):,} nearest of {len(index):,}" if near.hits else "There is no text in the file")
        best = max((abs(hit.score) for hit in near.hits), default=1.0)
        with ui.element("div").classes("hits").props("role=list"):
            for rank, hit in enumerate(near.hits, start=1):
                _hit(rank, hit, hit.score if by == "cosine" else hit.score / max(best, 1e-9))
        if len(near.hits) < len(index):
            ui.button("More", on_click=more, color=None).props("outline dense no-caps").classes("more")

    live = Live(read, lambda asked: reader.search(*asked), draw)
    return live


def _hit(rank: int, hit: Hit, share: float) -> None:
    """A text: its name, score, and beginning, which a button completes.

    Args:
        rank: from 1.
        hit: what was found.
        share: the length of its bar, 0 to 1.
    """
    beginning = beginning_of(hit.text)
    with ui.element("div").classes("hit").props("role=listitem"):
        with ui.element("div").classes("hit-head"):
            ui.label(f"{rank} · {hit.id}").classes("hit-name")
            with ui.element("div").classes("bar-track"):
                ui.element("div").classes("bar-fill").style(f"width: {100 * min(1.0, max(0.0, share)):.2f}%")
            ui.label(f"{hit.score:.3f}").classes("bar-value")
        text = ui.label(beginning).classes("hit-text")
        if beginning == hit.text:
            return

        def turn() -> None:
            is_whole = text.text == hit.text
            text.set_text(beginning if is_whole else hit.text)
            button.set_text(whole if is_whole else "Less")

        whole = f"All {len(hit.text):,} characters"
        button = ui.button(whole, on_click=turn, color=None).props("flat dense no-caps").classes("whole")


def beginning_of(text: str) -> str:
    """A text of at most ``BEGINNING`` characters itself, of a longer one its first words.

    >>> beginning_of("a text")
    'a text'
    >>> beginning_of("word " * 100)[-11:], len(beginning_of("北" * 500))
    ('word word …', 400)
    """
    if len(text) <= BEGINNING:
        return text
    return re.sub(r"\s+\S{0,40}$", "", text[: BEGINNING - 2]) + " …"
