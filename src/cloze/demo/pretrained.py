"""The tabs of the pre-training tasks: masked tokens and next sentence."""

import json
from collections.abc import Sequence

from nicegui import ui

from cloze.demo.parts import Cells, IncompleteError, Live, bars, examples, field, heading, hint, notes
from cloze.demo.reader import Answer, Reader
from cloze.inference.choose import FILL_MASK, NEXT_SENTENCE

MASKS_SHOWN = 12
SENTENCES = (
    "The capital of France is [MASK].",
    "She plays the [MASK] in an orchestra.",
    "The function returns a [MASK] of strings.",
    "If the file does not [MASK], an exception is raised.",
    "北京是中国的首[MASK]。",
)
PAIRS = (
    ("He went to the store.", "He bought a gallon of milk."),
    ("Return the number of items in the list.", "If the list is empty, the result is zero."),
    ("The function opens a file.", "Penguins live in the south."),
)
INSERT = """
const box = document.querySelector('.mask-text textarea');
box.focus();
box.setRangeText(MASK, box.selectionStart, box.selectionEnd, 'end');
box.dispatchEvent(new Event('input', {bubbles: true}));
"""
"""With the mask, as JSON."""


def fill_tab(reader: Reader) -> Live[Cells, Answer]:
    """A text with masks, and the candidates for each as bars."""
    spelling = reader.spelling
    mask = spelling.mask
    sentences = [text.replace("[MASK]", mask) for text in SENTENCES]
    known = list(reader.examples.masked) or [text for text in sentences if reader.knows(text)] or [mask]
    ui.label(f"Write {mask} where a word is missing: the model predicts it.").classes("lead")
    box = field("Text", known[0], lambda: live.refresh()).classes("mask-text")
    with ui.row().classes("examples"):
        script = INSERT.replace("MASK", json.dumps(mask))
        insert = ui.button(f"Insert {mask}", icon="add", on_click=lambda: ui.run_javascript(script))
        insert.props("outline dense no-caps").classes("insert")
        examples([(text,) for text in known], [box])

    def read() -> Cells:
        if mask not in (box.value or ""):
            raise IncompleteError(f"Write {mask} where a word is to be filled in.")
        return {"text": box.value}

    def draw(answer: Answer) -> None:
        masks = answer.prediction["masks"]
        best = [one["candidates"][0]["token_id"] for one in masks]
        notes((*reader.unknown(answer.prediction["text"]), *answer.notes))
        _filled(spelling.filled(answer.prediction["text"], best))
        for number, one in enumerate(masks[:MASKS_SHOWN], start=1):
            heading(f"{mask} {number}" if len(masks) > 1 else "Predictions")
            bars([(candidate["token"], candidate["probability"]) for candidate in one["candidates"]])
        if len(masks) > MASKS_SHOWN:
            hint(f"The first {MASKS_SHOWN} of {len(masks)} masks are shown.")

    live = Live(read, lambda cells: reader.predict(FILL_MASK, cells), draw)
    return live


def _filled(parts: Sequence[str]) -> None:
    """The text with the most likely token in place of each mask."""
    with ui.element("div").classes("running"):
        for number, part in enumerate(parts):
            ui.label(part).classes("filled" if number % 2 else "")


def pair_tab(reader: Reader) -> Live[Cells, Answer]:
    """Two texts, and whether the second continues the first."""
    known = list(reader.examples.pairs) or [pair for pair in PAIRS if all(map(reader.knows, pair))] or list(PAIRS[:1])
    ui.label("Does the second text continue the first?").classes("lead")
    first = field("First text", known[0][0], lambda: live.refresh())
    second = field("Second text", known[0][1], lambda: live.refresh())
    with ui.row().classes("examples"):
        examples(known, [first, second])

    def read() -> Cells:
        if not (first.value or "").strip() or not (second.value or "").strip():
            raise IncompleteError("Write both texts.")
        return {"text": first.value, "text_pair": second.value}

    def draw(answer: Answer) -> None:
        said = answer.prediction
        notes((*reader.unknown(said["text"], said["text_pair"]), *answer.notes))
        rows = [("It continues the first", said["probability"]), ("It does not", 1 - said["probability"])]
        bars(rows, best=(0 if said["prediction"] else 1,))

    live = Live(read, lambda cells: reader.predict(NEXT_SENTENCE, cells), draw)
    return live
