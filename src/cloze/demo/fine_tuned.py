"""The tab of the task that a model was fine-tuned on."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from nicegui import ui

from cloze.data.finetuning.pair_rows import compared
from cloze.data.tables.row_examples import ExampleMaker, Make
from cloze.demo.parts import Cells, IncompleteError, Live, bars, examples, field, heading, hint, notes
from cloze.demo.reader import Answer, Reader
from cloze.inference.choose import FINE_TUNED
from cloze.metrics.entities import OUTSIDE
from cloze.tasks.finetuning import softmax

TITLES: dict[Make | None, str] = {
    ExampleMaker.text: "Classify",
    ExampleMaker.words: "Tags",
    ExampleMaker.question: "Questions",
    ExampleMaker.choice: "Choices",
    compared: "Re-rank",
}
CLASSES_SHOWN = ANSWERS_SHOWN = 10
TEXT = "A warm and funny film, though it could have been shorter."
TAGGED = "Angela Merkel met the president of France in Berlin, near the offices of Siemens."
QUESTION = "When was the tower finished?"
PASSAGE = (
    "The Eiffel Tower is a wrought-iron lattice tower on the Champ de Mars in Paris. It is named after the engineer "
    "Gustave Eiffel, whose company built it from 1887 and finished it in 1889."
)
PASSAGES = f"{PASSAGE}\nThe tower of London was begun in 1078.\nTowers are tall, and take years."
START, CHOICES = "She poured the tea and", "carried the cups to the table.\nflew to the moon.\nread the number seven."
HUES = (212, 152, 28, 280, 340, 190, 96, 52)
"""Of the colours of entities, in degrees."""

TaskLive = Live[Cells, Answer]


def task_tab(reader: Reader) -> TaskLive:
    """The tab for the task of the folder."""
    tabs: dict[Make | None, Callable[[Reader], TaskLive]] = {
        ExampleMaker.text: _text_tab,
        ExampleMaker.words: _words_tab,
        ExampleMaker.question: _question_tab,
        ExampleMaker.choice: _choice_tab,
        compared: _passages_tab,
    }
    found: TaskLive = tabs[reader.make](reader)
    return found


def _live(reader: Reader, read: Any, draw: Any) -> TaskLive:
    return Live(read, lambda cells: reader.predict(FINE_TUNED, cells), draw)


def _needed(box: ui.textarea, what: str) -> str:
    text = box.value or ""
    if not text.strip():
        raise IncompleteError(f"Write {what}.")
    return text


def _examples(reader: Reader, *names: str) -> list[tuple[str, ...]]:
    """Those of the model's own dev set, as the fields hold them: choices are lines."""
    rows = ([row.get(name) or "" for name in names] for row in reader.examples.cells)
    return [tuple(cell if isinstance(cell, str) else "\n".join(map(str, cell)) for cell in row) for row in rows]


def _offered(known: list[tuple[str, ...]], boxes: list[ui.textarea]) -> None:
    if len(known) > 1:
        with ui.row().classes("examples"):
            examples(known, boxes)


def _text_tab(reader: Reader) -> TaskLive:
    """Classes, several labels or a score."""
    ui.label("The model's prediction for a text. A model of pairs needs the second text, too.").classes("lead")
    known = _examples(reader, "text", "text_pair") or [(TEXT, "")]
    box = field("Text", known[0][0], lambda: live.refresh())
    pair = field("Second text (only for models of pairs)", known[0][1], lambda: live.refresh(), rows=1)
    _offered(known, [box, pair])

    def read() -> Cells:
        second = {"text_pair": pair.value} if (pair.value or "").strip() else {}
        return {"text": _needed(box, "a text"), **second}

    def draw(answer: Answer) -> None:
        said = answer.prediction
        notes((*reader.unknown(said["text"], said.get("text_pair", "")), *answer.notes))
        if "probabilities" not in said:
            scores = said["prediction"] if isinstance(said["prediction"], dict) else {"Score": said["prediction"]}
            for name, score in scores.items():
                heading(name)
                ui.label(f"{score:.3f}").classes("big")
            return
        ranked = sorted(said["probabilities"].items(), key=lambda row: -row[1])
        several = isinstance(said["prediction"], list)
        chosen = said["prediction"] if several else [said["prediction"]]
        heading("Labels, each by itself" if several else "Classes")
        bars(ranked[:CLASSES_SHOWN], best=[n for n, (label, _) in enumerate(ranked) if label in chosen])
        if len(ranked) > CLASSES_SHOWN:
            hint(f"Of {len(ranked)} classes the first {CLASSES_SHOWN} are shown.")

    live = _live(reader, read, draw)
    return live


def _words_tab(reader: Reader) -> TaskLive:
    """Entities, highlighted where they stand."""
    ui.label("The words and names that the model marks in a text.").classes("lead")
    known = _examples(reader, "text") or [(TAGGED,)]
    box = field("Text", known[0][0], lambda: live.refresh())
    _offered(known, [box])

    def read() -> Cells:
        return {"text": _needed(box, "a text")}

    def draw(answer: Answer) -> None:
        text, said = answer.prediction["text"], _marked(answer.prediction)
        notes((*reader.unknown(text), *answer.notes))
        with ui.element("div").classes("running"):
            for start, end, entity in _spans(said, len(text)):
                if entity is None:
                    ui.label(text[start:end])
                    continue
                with ui.element("span").classes("entity").style(f"--tint: {_tint(entity['label'])}"):
                    ui.label(text[start:end]).style("display: inline")
                    ui.label(entity["label"]).classes("entity-type").style("display: inline")
        if not said:
            hint("The model marks nothing here.")
            return
        if rows := [(f"{e['text']} · {e['label']}", e["score"]) for e in said if e["score"] is not None]:
            heading("What is marked, and how sure the model is of it")
            bars(rows[:50], best=(), wide=True)

    live = _live(reader, read, draw)
    return live


def _marked(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entities; of tags that make none, each word with its tag."""
    if "entities" in said:
        return list(said["entities"])
    return [
        {"label": tag, "start": start, "end": end, "text": said["text"][start:end], "score": None}
        for (start, end), tag in zip(said["offsets"], said["prediction"], strict=True)
        if tag != OUTSIDE
    ]


def _spans(entities: list[dict[str, Any]], length: int) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
    """The characters of a text in their order, by the entity that they belong to."""
    done = 0
    for entity in entities:
        start, end = entity["start"], entity["end"]
        if start > done:
            yield done, start, None
        yield start, end, entity
        done = end
    if done < length:
        yield done, length, None


def _tint(kind: str) -> str:
    """A colour that a type of entities always has."""
    known = {"PER": 0, "LOC": 1, "ORG": 2, "MISC": 3}
    number = known.get(kind.upper(), hashlib.blake2b(kind.encode(), digest_size=1).digest()[0])
    return f"hsl({HUES[number % len(HUES)]} 70% 50%)"


def _question_tab(reader: Reader) -> TaskLive:
    """An answer, marked in its passage."""
    ui.label("The answer to a question, marked in the passage that holds it.").classes("lead")
    known = _examples(reader, "text", "text_pair") or [(QUESTION, PASSAGE)]
    question = field("Question", known[0][0], lambda: live.refresh(), rows=1)
    box = field("Passage", known[0][1], lambda: live.refresh(), rows=4)
    _offered(known, [question, box])

    def read() -> Cells:
        return {"text": _needed(question, "a question"), "text_pair": _needed(box, "a passage")}

    def compute(cells: Cells) -> tuple[str, Answer]:
        return cells["text_pair"], reader.predict(FINE_TUNED, cells)

    def draw(found: tuple[str, Answer]) -> None:
        passage, answer = found
        said = answer.prediction
        notes((*reader.unknown(said["question"], passage), *answer.notes))
        start, end = said["start"], said["end"]
        if start is None:
            hint("The model predicts that the passage does not answer this.")
            start = end = 0
        with ui.element("div").classes("running"):
            ui.label(passage[:start])
            if end > start:
                ui.label(passage[start:end]).classes("mark")
            ui.label(passage[end:])
        heading("Answers")
        rows = [(best["text"], best["probability"]) for best in said["n_best"][:ANSWERS_SHOWN]]
        if "no_answer_probability" in said:
            rows.append(("no answer", said["no_answer_probability"]))
        bars(
            rows, best=[n for n, (text, _) in enumerate(rows) if text == (said["prediction"] or "no answer")], wide=True
        )

    live: Live[Cells, tuple[str, Answer]] = Live(read, compute, draw)
    return live  # type: ignore[return-value]


def _choice_tab(reader: Reader) -> TaskLive:
    """How well each choice continues the text."""
    ui.label("Which of several endings fits a beginning best.").classes("lead")
    known = _examples(reader, "text", "choices") or [(START, CHOICES)]
    box = field("Beginning", known[0][0], lambda: live.refresh())
    choices = field("Choices, one a line", known[0][1], lambda: live.refresh(), rows=3)
    _offered(known, [box, choices])

    def read() -> Cells:
        endings = [line.strip() for line in (choices.value or "").splitlines() if line.strip()]
        if len(endings) < 2:
            raise IncompleteError("Write two choices at least, one a line.")
        return {"text": _needed(box, "a beginning"), "choices": endings}

    def draw(answer: Answer) -> None:
        said = answer.prediction
        notes((*reader.unknown(said["text"], *said["choices"]), *answer.notes))
        rows = [(choice, said["probabilities"][str(number)]) for number, choice in enumerate(said["choices"])]
        bars(rows, best=(said["prediction"],), wide=True)

    live = _live(reader, read, draw)
    return live


def _passages_tab(reader: Reader) -> TaskLive:
    """Passages in the order of their scores."""
    ui.label("How well each of several passages answers a query, by the scores of a re-ranker.").classes("lead")
    query = field("Query", QUESTION, lambda: live.refresh(), rows=1)
    passages = field("Passages, one a line", PASSAGES, lambda: live.refresh(), rows=4)

    def read() -> Cells:
        lines = [line.strip() for line in (passages.value or "").splitlines() if line.strip()]
        if not lines:
            raise IncompleteError("Write a passage at least, one a line.")
        return {"query": _needed(query, "a query"), "positives": lines}

    def draw(answer: Answer) -> None:
        said = answer.prediction
        notes((*reader.unknown(said["text"], *said["choices"]), *answer.notes))
        order = sorted(range(len(said["scores"])), key=lambda number: -said["scores"][number])
        heading("The best first; bars are shares of a softmax")
        shares = softmax(np.array(said["scores"])).tolist()
        rows = [(said["choices"][number], shares[number]) for number in order]
        bars(rows, values=[f"{said['scores'][number]:.3f}" for number in order], wide=True)

    live = _live(reader, read, draw)
    return live
