"""Elements shared by the tabs of the page. User text is always set as text, never as HTML."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from nicegui import ui

from cloze.errors import BadRowError, InputError

LONGEST_INPUT = 50_000
"""Characters of a field: what a model of 8,192 positions reads, and more."""

OFFERED = 5
"""Examples below a field, at most."""

WAIT = 250
"""Milliseconds without a key after which what was typed is read."""

A = TypeVar("A")
T = TypeVar("T")
Cells = dict[str, Any]
"""An example, as a row of an input would have it."""


class IncompleteError(Exception):
    """There is nothing to compute yet; the message is what a person can do."""


class Live(Generic[A, T]):
    """An answer that follows what is typed. While one is computed, only the newest of what comes in is kept.

    Args:
        read: what the fields hold; it raises ``IncompleteError`` where there is nothing to compute yet.
        compute: the answer to it, on a thread of its own.
        draw: the answer on the page.
    """

    def __init__(self, read: Callable[[], A], compute: Callable[[A], T], draw: Callable[[T], None]) -> None:
        self.read, self.compute, self.draw = read, compute, draw
        self.is_busy = self.is_stale = False
        self.area = ui.column().classes("answer")

    async def refresh(self) -> None:
        """Answer what the fields hold now."""
        if self.is_busy:
            self.is_stale = True
            return
        self.is_busy = True
        try:
            self.is_stale = True
            while self.is_stale and not self.area.is_deleted:
                self.is_stale = False
                await self._once()
        finally:
            self.is_busy = False

    async def _once(self) -> None:
        self.area.classes("waits")
        try:
            found = await asyncio.to_thread(self.compute, self.read())
        except (IncompleteError, BadRowError, InputError) as error:
            told = str(error).removesuffix(".")
            self._show(
                lambda: hint(f"The text {told}." if told.startswith("has ") else f"{told[:1].upper()}{told[1:]}.")
            )
        except Exception:
            self._show(lambda: hint("This is a fault of the program; the terminal shows where."))
            raise
        else:
            self._show(lambda: self.draw(found))

    def _show(self, draw: Callable[[], object]) -> None:
        if self.area.is_deleted:  # the page was closed meanwhile
            return
        self.area.classes(remove="waits")
        self.area.clear()
        with self.area:
            draw()


def field(
    label: str, value: str, live: Callable[[], Any], *, rows: int = 2, longest: int = LONGEST_INPUT
) -> ui.textarea:
    """A field that is read while one types."""
    grows = "autogrow " if longest == LONGEST_INPUT else ""  # which is slow with thousands of lines
    box = ui.textarea(label, value=value, on_change=live)
    return box.props(f"outlined {grows}debounce={WAIT} maxlength={longest} rows={rows} spellcheck=false").classes("box")


def hint(text: str) -> None:
    """What a person can do, in place of an answer."""
    ui.label(text).classes("hint")


def notes(texts: Iterable[str]) -> None:
    """What had to be done to the input."""
    for text in texts:
        with ui.row().classes("note"):
            ui.icon("info_outline")
            ui.label(text)


def heading(text: str) -> None:
    """Of a part of a tab."""
    ui.label(text).classes("heading")


def bars(
    rows: Sequence[tuple[str, float]],
    *,
    best: Iterable[int] = (0,),
    values: Sequence[str] | None = None,
    wide: bool = False,
) -> None:
    """A row for each label with a bar of its value, 0 to 1, and the value in percent.

    Args:
        rows: labels and values.
        best: the numbers of the rows that stand out.
        values: in place of percentages.
        wide: labels are sentences and stand above their bars.
    """
    chosen = set(best)
    with ui.element("div").classes("bars wide" if wide else "bars").props("role=list"):
        for number, (label, value) in enumerate(rows):
            width = min(100.0, max(0.0, 100 * value))
            with ui.element("div").classes("bar best" if number in chosen else "bar").props("role=listitem"):
                ui.label(label).classes("bar-label")
                with ui.element("div").classes("bar-track"):
                    ui.element("div").classes("bar-fill").style(f"width: {width:.2f}%")
                ui.label(values[number] if values else percent(value)).classes("bar-value")


def percent(value: float) -> str:
    """A probability for reading: '12.3 %', '< 0.1 %'."""
    return "< 0.1 %" if 0 < value < 0.001 else f"{100 * value:.1f} %"


def examples(texts: Sequence[tuple[str, ...]], boxes: Sequence[ui.textarea]) -> None:
    """Chips that fill the fields, in a row that is open."""
    if not texts:
        return
    ui.label("Try")
    for values in texts[:OFFERED]:
        ui.chip(_short(values[0]), on_click=lambda values=values: _fill(boxes, values)).props("outline dense")


def _fill(boxes: Sequence[ui.textarea], values: Sequence[str]) -> None:
    for box, value in zip(boxes, values, strict=True):
        box.set_value(value)


def _short(text: str) -> str:
    first = text.splitlines()[0]
    return first if len(first) <= 44 else f"{first[:43]}…"
