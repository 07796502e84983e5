"""The JSON format of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018), also used by CMRC 2018 and many others.

``{"data": [{"paragraphs": [{"context": "...", "qas": [{"id": "...", "question": "...", "answers": [{"text": "...",
"answer_start": 0}], "is_impossible": false}]}]}]}``; a list of such articles is read, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cloze.data.finetuning.split_files import opened_archive
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.errors import InputError
from cloze.files.bounded import parse_json, read_member
from cloze.text.sources.lines import COMPRESSIONS, open_text

FORMAT = "expected the JSON of SQuAD (data, paragraphs, qas, answers), or a list with an object for each question"


class Node(NamedTuple):
    """A value of the document, and where it is: ``dev.json, data[0], paragraphs[2]``."""

    value: Any
    where: str

    def entries(self, key: str) -> Iterator["Node"]:
        """The objects of a list."""
        entries = self.value.get(key)
        if not isinstance(entries, list):
            raise InputError(f"{self.where}: has no list {key!r}; {FORMAT}")
        for number, entry in enumerate(entries):
            where = f"{self.where}, {key}[{number}]"
            if not isinstance(entry, dict):
                raise InputError(f"{where}: is no object; {FORMAT}")
            yield Node(entry, where)

    def text(self, key: str) -> str:
        """A text with something in it."""
        text = self.value.get(key)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{self.where}: has no {key!r}, or an empty one; fix the file")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{self.where}: its {key} has half of a surrogate pair, which is no character") from error
        return text


def is_squad_json(path: Path) -> bool:
    """Whether a file is read as such, by its suffix."""
    return path.name.lower().endswith((".json", ".zip", *(f".json{suffix}" for suffix in COMPRESSIONS)))


def read_squad_json(path: Path, *, labelled: bool) -> list[QuestionExample] | None:
    """All questions of a file, in order; None where the file is a table, with a row for each question.

    Args:
        path: of the file; of a ZIP archive with one such file in it.
        labelled: whether every question must have answers, or be impossible.

    Raises:
        InputError: something is missing or of another kind; it says where.
    """
    content = _content(path)
    try:
        document = parse_json(content)
    except ValueError as error:
        if not _is_row(content.partition(b"\n")[0]):
            raise InputError(f"{path}: is not JSON ({error}); fetch the file again") from error
        document = None  # JSON lines
    if isinstance(document, list) and _articles(document):
        document = {"data": document}
    if document is None or _is_table(document):
        if path.suffix.lower() == ".zip":
            raise InputError(f"{path}: holds a row for each question; unpack it, and give the file in it")
        return None
    if not isinstance(document, dict):
        raise InputError(f"{path}: is no JSON object; {FORMAT}")
    return list(_questions(Node(document, str(path)), labelled))


def _is_table(document: Any) -> bool:
    """Whether a document has a row for each question: a list of them, such a list as ``data``, or one row alone."""
    if isinstance(document, dict) and "data" not in document:
        return "context" in document and "question" in document
    rows = document["data"] if isinstance(document, dict) else document
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and bool(rows[0]) and not _articles(rows)


def _articles(rows: list[Any]) -> bool:
    return bool(rows) and isinstance(rows[0], dict) and "paragraphs" in rows[0]


def _is_row(line: bytes) -> bool:
    """Whether a line is an object by itself."""
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _content(path: Path) -> bytes:
    if path.suffix.lower() != ".zip":
        with open_text(str(path)) as stream:
            return stream.read()
    with opened_archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        if len(names) != 1:
            raise InputError(f"{path}: has {len(names)} .json files; expected one: take out the one that you mean")
        return read_member(archive, names[0])


def _questions(document: Node, labelled: bool) -> Iterator[QuestionExample]:
    for article in document.entries("data"):
        for paragraph in article.entries("paragraphs"):
            context = paragraph.text("context")
            for question in paragraph.entries("qas"):
                name = question.value.get("id")
                if not isinstance(name, str | int):
                    raise InputError(f"{question.where}: has no 'id'; every question needs one")
                named = Node(question.value, f"{document.where}, question {name}")
                impossible = bool(question.value.get("is_impossible"))
                answers: tuple[Answer, ...] | None = None
                if impossible:
                    answers = ()  # SQuAD 2.0 has plausible, wrong ones elsewhere
                elif labelled or "answers" in question.value:
                    answers = tuple(_answers(named))
                yield QuestionExample(
                    id=str(name),
                    where=named.where,
                    question=named.text("question").strip(),
                    context=context,
                    answers=answers,
                    impossible=answers == (),
                )


def _answers(question: Node) -> Iterator[Answer]:
    for answer in question.entries("answers"):
        start = answer.value.get("answer_start")
        if not isinstance(start, int):
            raise InputError(f"{answer.where}: has no whole number 'answer_start'; write -1 where it is not known")
        yield Answer(answer.text("text"), start)
