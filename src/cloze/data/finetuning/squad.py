"""Questions about passages, from SQuAD's JSON and from tables."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cloze.data.finetuning.squad_json import is_squad_json, read_squad_json
from cloze.data.finetuning.table_source import Cells, Tables
from cloze.data.tables.cells import Column, find, is_absent, place, text_of
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.data.tables.table import Table
from cloze.errors import BadRowError, InputError
from cloze.runtime.wording import counted

UNKNOWN = -1
"""The start of an answer that the passage does not hold, or that nothing tells."""


@dataclass(kw_only=True)
class QuestionFiles(Tables[QuestionExample]):
    """Questions, each with the passage that answers it.

    A ``.json`` file (or the only one in a ``.zip`` archive) may be in SQuAD's format, which CMRC 2018 has, too. Any
    other is a table, whose columns the names below tell; they need not be given for one with the columns of `datasets`,
    which are those of transformers' ``{"data": [{"id", "context", "question", "answers"}, ...]}``.

    An answer that does not stand where it is said to is taken from the nearest position where the passage has it. One
    that the passage does not have at all cannot be learned; in evaluation it counts as any other.

    Attributes:
        text: column of the question.
        text_pair: column of the passage.
        label: column of the answer: a text; several texts; as `datasets` has it, ``{text: [...], answer_start:
            [...]}``; or as SQuAD has it, ``[{text: ..., answer_start: ...}, ...]``. An empty one says that the passage
            has no answer; a test split without any answer is unlabelled.
        start: column of the character where the text in `label` starts, from 0; without it the text is looked for.
        no_answer: there are questions that their passage does not answer, as in SQuAD 2.0.
        on_misaligned: ``stop`` at an answer that its passage does not have; or ``skip`` questions without any other
            in training, and count them.
        counts: such answers, and rows that were skipped.
    """

    text: Column = "question"
    text_pair: Column = "context"
    label: Column = "answers"
    start: Column | None = None
    no_answer: bool = False
    on_misaligned: Literal["stop", "skip"] = "skip"

    def read(self, split: str) -> list[QuestionExample]:
        """The questions of a split.

        Raises:
            InputError: the file is missing or not as it should be, two questions have the same id, or one has no answer
                where all should have one.
        """
        path = Path(self.paths()[split]).expanduser()
        if is_squad_json(path):
            self.check_file(path, split)
            found = read_squad_json(path, labelled=not split.startswith("test"))
        else:
            found = None
        examples = super().read(split) if found is None else found
        if split.startswith("test") and not any(example.answers for example in examples):
            # Published test sets have empty lists of answers, or none.
            examples = [replace(example, answers=None, impossible=False) for example in examples]
        self._check(examples)
        examples = [self._aligned(example) for example in examples]
        if split == "train":
            known = [example for example in examples if has_place(example)]
            self.counts["questions left out of training: answers outside their passage"] += len(examples) - len(known)
            examples = known
        self.counts += Counter()  # without those that are zero
        return examples

    def _check(self, examples: Sequence[QuestionExample]) -> None:
        first: dict[str, QuestionExample] = {}
        for example in examples:
            if first.setdefault(example.id, example) is not example:
                there = first[example.id].where
                raise InputError(f"{example.where}: has the id {example.id!r} of {there}; every question needs its own")
            if example.impossible and not self.no_answer:
                raise InputError(
                    f"{example.where}: has no answer; if that is meant, as in SQuAD 2.0, set task.data.no_answer=true"
                )

    def _aligned(self, example: QuestionExample) -> QuestionExample:
        """With every answer where the passage has it."""
        context, answers = example.context, example.answers or ()
        if all(answer.start >= 0 and context.startswith(answer.text, answer.start) for answer in answers):
            return example
        placed = tuple(Answer(answer.text, nearest(context, answer)) for answer in answers)
        for old, new in zip(answers, placed, strict=True):
            if new.start == UNKNOWN and self.on_misaligned == "stop":
                raise InputError(
                    f"{example.where}: its passage does not have the answer {new.text!r}; fix it, or leave such"
                    " questions out of training with task.data.on_misaligned=skip"
                )
            self.counts["answers outside their passage"] += new.start == UNKNOWN
            self.counts["answers placed by their text, not their start"] += new.start not in (UNKNOWN, old.start)
        return replace(example, answers=placed)

    def columns(self, split: str) -> Sequence[Column]:
        """Of names, questions, passages, answers and their starts."""
        given = (self.id, self.text, self.text_pair, self.label, self.start)
        return [column for column in given if column is not None]

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], QuestionExample]:
        """Rows to questions."""
        name = find(table, "id") if self.id is None else place(table, self.id, "id")
        question, context = place(table, self.text, "text"), place(table, self.text_pair, "text_pair")
        test = split.startswith("test")
        label = find(table, self.label) if test else place(table, self.label, "label")
        start = None if self.start is None or label is None else place(table, self.start, "start")

        def make(cells: Cells, number: str, where: str) -> QuestionExample:
            passage = cells[context]
            if is_absent(passage) or not isinstance(passage, str):
                raise BadRowError("no passage", "has no passage")
            answers = None
            if label is not None and not (test and is_absent(cells[label])):
                answers = answers_of(cells[label], None if start is None else cells[start])
            return QuestionExample(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                question=text_of(cells[question], "question"),
                context=passage,  # with the white space around it: answers are counted in its characters
                answers=answers,
                impossible=answers == (),
            )

        return make


def answers_of(cell: object, start: object) -> tuple[Answer, ...]:
    """The answers in a cell, none in an empty one.

    Raises:
        BadRowError: it holds none of the forms that `QuestionFiles` tells.
    """
    if is_absent(cell):
        return ()
    texts: Any
    starts: Any
    if isinstance(cell, list) and all(isinstance(answer, dict) for answer in cell):
        texts, starts = ([answer.get(key) for answer in cell] for key in ("text", "answer_start"))
    elif isinstance(cell, dict):
        texts, starts = cell.get("text"), cell.get("answer_start")
        texts, starts = ([texts], [starts]) if isinstance(texts, str) else (texts, starts)
        starts = [None] * len(texts) if isinstance(texts, list) and not starts else starts
    else:
        texts = cell if isinstance(cell, list) else [str(cell)]
        starts = [start] * len(texts)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise BadRowError("answers that are no text", f"its answer is {cell!r}, but must be one text or several")
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise BadRowError(
            "starts that do not fit", f"its {counted(len(texts), 'answers')} have other starts: {starts!r}"
        )
    return tuple(Answer(text, _start(start)) for text, start in zip(texts, starts, strict=True))


def _start(cell: object) -> int:
    if is_absent(cell):
        return UNKNOWN
    try:
        return int(float(str(cell)))  # pandas writes whole numbers as 12.0 where one is missing
    except (ValueError, OverflowError):
        raise BadRowError("starts that are no number", f"its answer starts at {cell!r}: must be a number") from None


def nearest(context: str, answer: Answer) -> int:
    """Where an answer stands: the position nearest to its start, the first one if that is unknown; or `UNKNOWN`."""
    start = max(0, answer.start)
    before, after = context.rfind(answer.text, 0, start + len(answer.text)), context.find(answer.text, start)
    return min({before, after} - {-1}, key=lambda found: abs(found - start), default=UNKNOWN)


def has_place(example: QuestionExample) -> bool:
    """Whether one can learn from an example: it has no answer, or one of them stands in the passage."""
    return not example.answers or any(answer.start != UNKNOWN for answer in example.answers)
