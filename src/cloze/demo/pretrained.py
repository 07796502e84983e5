"""The tabs of the pre-training tasks: masked tokens and next sentence."""

from nicegui import ui

from cloze.data.tables.examples import Prediction
from cloze.demo.parts import Cells, IncompleteError, Live, bars, examples, field, heading, hint, notes
from cloze.demo.reader import Answer, Reader
from cloze.inference.choose import FILL_MASK, NEXT_SENTENCE
from cloze.text.tokenizer import MASK, PREFIX

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
box.setRangeText('[MASK]', box.selectionStart, box.selectionEnd, 'end');
box.dispatchEvent(new Event('input', {bubbles: true}));
"""


def fill_tab(reader: Reader) -> Live[Cells, Answer]:
    """A text with masks, and the candidates for each as bars."""
    known = list(reader.examples.masked) or [text for text in SENTENCES if reader.knows(text)] or [MASK]
    ui.label(f"Write {MASK} where a word is missing: the model predicts it.").classes("lead")
    box = field("Text", known[0], lambda: live.refresh()).classes("mask-text")
    with ui.row().classes("examples"):
        insert = ui.button(f"Insert {MASK}", icon="add", on_click=lambda: ui.run_javascript(INSERT))
        insert.props("outline dense no-caps").classes("insert")
        examples([(text,) for text in known], [box])

    def read() -> Cells:
        if MASK not in (box.value or ""):
            raise IncompleteError(f"Write {MASK} where a word is to be filled in.")
        return {"text": box.value}

    def draw(answer: Answer) -> None:
        masks = answer.prediction["masks"]
        notes((*reader.unknown(answer.prediction["text"]), *answer.notes))
        _filled(answer.prediction)
        for number, mask in enumerate(masks[:MASKS_SHOWN], start=1):
            heading(f"[MASK] {number}" if len(masks) > 1 else "Predictions")
            bars([(candidate["token"], candidate["probability"]) for candidate in mask["candidates"]])
        if len(masks) > MASKS_SHOWN:
            hint(f"The first {MASKS_SHOWN} of {len(masks)} masks are shown.")

    live = Live(read, lambda cells: reader.predict(FILL_MASK, cells), draw)
    return live


def _filled(said: Prediction) -> None:
    """The text with the most likely token in place of each mask."""
    before, *others = said["text"].split(MASK)
    best = [mask["candidates"][0]["token"] for mask in said["masks"]]
    with ui.element("div").classes("running"):
        for piece, other in zip(best, others, strict=True):
            ui.label(before.rstrip() if piece.startswith(PREFIX) else before)
            ui.label(piece.removeprefix(PREFIX)).classes("filled")
            before = other
        ui.label(before)


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
