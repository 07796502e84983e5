"""Pairs, triplets, scored pairs and labelled texts from tables, for embeddings and re-ranking."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cloze.data.finetuning.table_source import Cells, Tables
from cloze.data.tables.cells import Column, as_columns, class_name, find, is_absent, place, score_of, text_of
from cloze.data.tables.collection import Collection, judged
from cloze.data.tables.examples import Example, PairExample
from cloze.data.tables.table import Table
from cloze.errors import BadRowError, InputError

NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("anchor", "query", "question", "sentence1", "premise", "text"),
    "positive": (
        "positive", "pos", "positives", "positive_passages", "answer", "passage", "document", "sentence2",
        "entailment", "hypothesis", "text_pair",
    ),
    "negatives": ("negatives", "neg", "negative_passages", "negative", "contradiction"),
    "score": ("score", "scores", "similarity_score"),
    "label": ("label", "labels"),
}  # fmt: skip
"""Names of columns in use: sentence-transformers', FlagEmbedding's, Tevatron's, and those of STS and NLI sets."""
NUMBERED = r"negative_\d+"
"""Names of columns with a negative each."""
POSITIVE_SCORES, NEGATIVE_SCORES = "pos_scores", "neg_scores"
"""FlagEmbedding's, of a teacher."""


ENTAILS, CONTRADICTS = "entailment", "contradiction"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow(Example):
    """A row: a text with its positives and negatives, or with its label."""

    text: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    scores: tuple[float, ...] | None
    label: str | None


@dataclass(kw_only=True)
class PairTables(Tables[Any]):
    """Texts with others that belong to them, or not.

    Attributes:
        text: column of what is compared; null, here and below, takes the column with a name that is in use for it, as
            ``anchor``, ``query`` or ``sentence1``.
        positive: column of what belongs to it, a text or a list of them, each an example: ``positive``, ``pos``,
            ``positive_passages``, ``answer``, ``sentence2``.
        negatives: column of what does not, a text or a list of them, or several columns: ``negative``, ``negative_1``,
            ``neg``, ``negative_passages``.
        score: column of how well the two texts of a pair belong together; or the list of a teacher's scores of the
            positive and the negatives.
        label: of texts without a positive, column of the label: texts of one label belong together. Of pairs, where it
            is named, column with ``entailment``, ``contradiction`` or another word: a premise with what follows from
            it, and what contradicts it as negatives.
        train: a file, a collection for search, or several of these with their names:
            ``{questions: FILE, beir: FOLDER}``. Of a collection, here and in the other splits, the queries that
            ``qrels/SPLIT.tsv`` judges: a document of a grade above 0 is a positive, one of grade 0 a negative.
        weights: of sets of these names in training, 1 for the others; null for as many items as each has.
        batches: of several sets: ``alike`` are of one set each, whose texts are hard to tell apart; ``mixed`` of all.

    Raises:
        InputError: a weight that is not above 0, or of no set.
    """

    text: Column | None = None
    positive: Column | None = None
    negatives: Column | Sequence[Column] | None = None
    score: Column | None = None
    label: Column | None = None
    train: str | Mapping[str, str] | None = None  # type: ignore[assignment]
    weights: Mapping[str, float] | None = None
    batches: Literal["alike", "mixed"] = "alike"
    set_weights: tuple[float, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        sets = self.train if isinstance(self.train, Mapping) else {}
        for name, weight in (self.weights or {}).items():
            if name not in sets or not weight > 0:
                there = ", ".join(sets) or "task.data.train names none"
                raise InputError(f"task.data.weights.{name}={weight}: expected a number above 0 for a set ({there})")

    @property
    def splits(self) -> list[str]:
        """Those given; all sets of training are one."""
        return list(dict.fromkeys("train" if split.startswith("train") else split for split in self.paths()))

    def read(self, split: str) -> list[PairExample]:
        """The examples of a split, one for each positive of a row; of labelled texts with the next text of the label.

        Raises:
            InputError: the file is missing, does not have the columns, or a row is not as it should be.
        """
        if split != "train" or not isinstance(self.train, Mapping):
            return self._read(split)
        found = {name: self._read(f"train_{name}") for name in self.train}
        if empty := [name for name, examples in found.items() if not examples]:
            raise InputError(f"task.data.train.{empty[0]} has no example: check the file")
        sizes = {name: 1.0 if self.weights is not None else len(examples) for name, examples in found.items()}
        self.set_weights = tuple({**sizes, **(self.weights or {})}.values())
        return [replace(each, set=number) for number, part in enumerate(found.values()) for each in part]

    def _read(self, split: str) -> list[PairExample]:
        folder = Path(self.paths()[split]).expanduser()
        rows: list[PairRow] = self._collected(folder, split) if folder.is_dir() else super().read(split)
        if not rows or rows[0].label is None:
            return list(pairs(rows))
        return list(pairs(premises(rows)) if rows[0].positives else labelled(rows))

    def _collected(self, folder: Path, split: str) -> list[PairRow]:
        """The judged queries of a collection, with their documents.

        Raises:
            InputError: a column is named, of which a collection has none to choose, or no document is relevant.
        """
        if named := next((key for key in NAMES if getattr(self, key) is not None), None):
            raise InputError(
                f"task.data.{named}={getattr(self, named)}: {folder} is a collection, without columns; leave it out"
            )
        collection = Collection(folder=folder, split=split.partition("_")[0])
        queries, judgements = judged(collection)
        wanted = {document for grades in judgements.values() for document in grades}
        texts = {document: text for document, text in collection.documents() if document in wanted}

        def of(query: str, *, relevant: bool) -> tuple[str, ...]:
            found = (texts.get(name) for name, grade in judgements[query].items() if (grade > 0) == relevant)
            return tuple(text for text in found if text)

        rows = [
            PairRow(
                id=query, where=f"{folder}, query {query}", text=text, positives=of(query, relevant=True),
                negatives=of(query, relevant=False), scores=None, label=None,
            )
            for query, text in queries.items()
        ]  # fmt: skip
        kept = [row for row in rows if row.positives]
        if not kept:
            raise InputError(f"{folder}: no document of the corpus is judged relevant in qrels/{collection.split}.tsv")
        return kept

    def columns(self, split: str) -> list[Column]:
        """Those that are named."""
        given = (self.id, self.text, self.positive, self.negatives, self.score, self.label)
        named = [column for columns in given for column in as_columns(columns)]
        return named or ["text"]  # by name, so that there is a header

    def maker(self, table: Table, split: str) -> Callable[[Cells, str, str], PairRow]:
        """Rows to texts with what belongs to them.

        Raises:
            InputError: a column is not there.
        """
        text = self._place(table, "text", self.text)
        positive = self._found(table, "positive", self.positive)
        label = self._found(table, "label", self.label) if positive is None or self.label is not None else None
        if positive is None and label is None:
            raise InputError(
                f"{table.name}: has no column with what belongs to a text, as {', '.join(NAMES['positive'][:4])}; set "
                "task.data.positive to it, or task.data.label for texts with labels"
            )
        negatives = self._negatives(table)
        scores = self._found(table, "score", self.score)
        teacher = [table.columns.index(name) for name in (POSITIVE_SCORES, NEGATIVE_SCORES) if name in table.columns]
        name = None if self.id is None else place(table, self.id, "id")

        def make(cells: Cells, number: str, where: str) -> PairRow:
            others = () if positive is None else texts_of(cells[positive], "positive")
            if positive is not None and not others:
                raise BadRowError("no positive", "has no positive: no text that belongs to its text")
            row = PairRow(
                id=number if name is None else text_of(cells[name], "id"),
                where=where,
                text=text_of(cells[text], "text"),
                positives=others,
                negatives=tuple(each for at in negatives for each in texts_of(cells[at], "negatives")),
                scores=None,
                label=None if label is None else class_name(text_of(cells[label], "label")),
            )
            given = [each for at in teacher for each in scores_of(cells[at])]
            if scores is not None:
                given = scores_of(cells[scores])
            return replace(row, scores=_checked(given, row)) if given else row

        return make

    def _place(self, table: Table, key: str, given: Column | None) -> int:
        found = self._found(table, key, given)
        if found is not None:
            return found
        raise InputError(
            f"{table.name}: has none of the columns {', '.join(NAMES[key])} (there: "
            f"{', '.join(map(repr, table.columns)) or 'no names'}); set task.data.{key} to the one that is meant"
        )

    def _found(self, table: Table, key: str, given: Column | None) -> int | None:
        if given is not None:
            return place(table, given, key)
        return next((at for name in NAMES[key] if (at := find(table, name)) is not None), None)

    def _negatives(self, table: Table) -> list[int]:
        if self.negatives is not None:
            return [place(table, column, "negatives") for column in as_columns(self.negatives)]
        one = self._found(table, "negatives", None)
        numbered = [at for at, name in enumerate(table.columns) if re.fullmatch(NUMBERED, name)]
        return numbered if one is None else [one, *numbered]


def pairs(rows: Sequence[PairRow]) -> Iterator[PairExample]:
    """One example a positive."""
    for row in rows:
        for number, positive in enumerate(row.positives):
            scores = row.scores
            if scores is not None:
                scores = (scores[number], *scores[len(row.positives) :])
            name = row.id if len(row.positives) == 1 else f"{row.id}-{number}"
            yield PairExample(
                id=name, where=row.where, text=row.text, positive=positive, negatives=row.negatives, scores=scores
            )


def premises(rows: Sequence[PairRow]) -> list[PairRow]:
    """Rows of natural language inference: each premise with its entailments, and its contradictions as negatives.

    A premise without an entailment is left out, as are pairs of any other label.

    Raises:
        InputError: no row has the label ``entailment``.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        found.setdefault(row.text, {}).setdefault(str(row.label).lower(), []).extend(row.positives)
    first = {row.text: row for row in reversed(rows)}
    kept = [
        replace(first[text], positives=tuple(of[ENTAILS]), negatives=tuple(of.get(CONTRADICTS, ())), label=None)
        for text, of in found.items()
        if ENTAILS in of
    ]
    if not kept:
        raise InputError(
            f"{rows[0].where}: its label is {rows[0].label!r}, and no row has {ENTAILS!r}: the label of pairs is for"
            " natural language inference; leave task.data.label out"
        )
    return kept


def labelled(rows: Sequence[PairRow]) -> Iterator[PairExample]:
    """Each text with the next one of its label; one that is alone there is left out."""
    groups: dict[str, list[PairRow]] = {}
    for row in rows:
        groups.setdefault(row.label or "", []).append(row)
    for label, same in groups.items():
        for row, following in zip(same, [*same[1:], same[0]], strict=True):
            if following is not row:
                yield PairExample(id=row.id, where=row.where, text=row.text, positive=following.text, group=label)


def texts_of(cell: object, key: str) -> tuple[str, ...]:
    """The texts in a cell: one, a list of them, or of passages with `title` and `text`; none of an empty one."""
    if is_absent(cell):
        return ()
    found = cell if isinstance(cell, list) else [cell]
    return tuple(text_of(_passage(each), key) for each in found if not is_absent(each))


def _passage(cell: object) -> object:
    """The text of a passage as Tevatron and BEIR have it."""
    if not isinstance(cell, dict):
        return cell
    return f"{cell.get('title') or ''} {cell.get('text') or ''}".strip()


def scores_of(cell: object) -> list[float]:
    """The numbers in a cell, one or a list of them."""
    return [score_of(each) for each in (cell if isinstance(cell, list) else [cell]) if not is_absent(each)]


def _checked(scores: Sequence[float], row: PairRow) -> tuple[float, ...]:
    expected = len(row.positives) + len(row.negatives)
    if len(scores) != expected:
        raise BadRowError(
            "scores that are not one a text", f"has {len(scores)} scores, but {expected} positives and negatives"
        )
    return tuple(scores)
