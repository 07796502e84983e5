"""The examples in a data set, before tokenisation: one class for each kind of task."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What every example has.

    Attributes:
        id: the data set's own name for it, else its number in the file.
        where: the file and the row, for messages: ``dev.tsv, line 7``.
    """

    id: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample(Example):
    """A text or a pair of texts.

    Attributes:
        text: segment A.
        text_pair: segment B.
        label: the name of its class, its score, the names of several labels, or by name several scores or the
            probability of each class; None when it is unlabelled.
    """

    text: str
    text_pair: str | None = None
    label: str | float | tuple[str, ...] | Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedExample(Example):
    """A sentence of words, each with a tag.

    Attributes:
        words: at least one.
        tags: as many, or None when it is unlabelled.
        document: the sentences of one document share this number and follow each other.
        text: the raw text that the words are from, untouched; None where words are all there is.
        offsets: in the text, the first character of each word and its end.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    document: int = 0
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] = ()


class Answer(NamedTuple):
    """An answer as annotated; ``start`` counts characters of the context, -1 where nothing tells."""

    text: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionExample(Example):
    """A question on a passage.

    Attributes:
        answers: right ones, none for an impossible question; None when it is unlabelled.
        impossible: the passage does not answer it (SQuAD 2.0).
    """

    question: str
    context: str
    answers: tuple[Answer, ...] | None
    impossible: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceExample(Example):
    """A beginning and what may follow.

    Attributes:
        text: segment A of every choice.
        choices: the segments B.
        label: the number of the right one, or None when it is unlabelled.
    """

    text: str
    choices: tuple[str, ...]
    label: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairExample(Example):
    """A text, another one that belongs to it, and texts that do not.

    Attributes:
        text: what is compared with the others: a query, a question, a sentence.
        positive: what it should be close to; of a scored pair the other text.
        negatives: what it should be far from, besides the texts of other examples.
        scores: how well the positive, then each negative belong to it, as a teacher or an annotator says; None where
            nobody has said so.
        group: of labelled texts the label, which two texts share that are no negatives of each other.
        set: of several sets of examples the number of its own.
        is_judged: whether the positive is known to belong to the text; else all are candidates, in their order.
    """

    text: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    group: str | None = None
    set: int = 0
    is_judged: bool = True


Prediction = dict[str, Any]
"""What is said of one example, JSON-able: ``id``, its texts, ``prediction``, ``probability``, what its shape adds, and
where it is labelled ``label`` and ``correct`` (for scores ``error``, the absolute difference)."""


def texts(example: Example) -> Iterator[str]:
    """Every text of an example, for any kind of task, to train a vocabulary."""
    for name in ("text", "text_pair", "question", "context"):
        if text := getattr(example, name, None):
            yield text
    if not getattr(example, "text", None):
        yield " ".join(getattr(example, "words", ()))
    if positive := getattr(example, "positive", None):
        yield positive
    yield from getattr(example, "choices", ())
    yield from getattr(example, "negatives", ())


E_co = TypeVar("E_co", bound=Example, covariant=True)


class Source(Protocol[E_co]):
    """Where examples come from.

    Attributes:
        counts: what was left out or odd in reading, for the report: ``{"empty texts skipped": 3}``.
    """

    counts: Counter[str]

    @property
    def splits(self) -> Sequence[str]:
        """Those there are: ``train``, ``dev``, ``test``; of several dev sets ``dev_matched``, ``dev_mismatched``."""

    def read(self, split: str) -> Sequence[E_co]:
        """The examples of a split.

        Raises:
            InputError: the file is missing, or a row is not as it should be.
        """
