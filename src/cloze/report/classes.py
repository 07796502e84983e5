"""Precision and recall of each class, and the confusion matrix."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cloze.data.tables.examples import Prediction
from cloze.metrics.entities import OUTSIDE, Entity, entities


class Confusions(NamedTuple):
    """Confusion matrix: the L labels, and (L, L) int64 counts of each label (row) and prediction (column)."""

    labels: list[str]
    counts: np.ndarray


class ClassScore(NamedTuple):
    """Shares in [0, 1], 0 where there is nothing to divide by; and how many there are."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def class_scores(predictions: Iterable[Prediction], labels: Sequence[str]) -> list[ClassScore]:
    """One row a class, a label (where a text has several), or a type of entity.

    Args:
        predictions: of one task, with labels.
        labels: of the task, in the order of the rows; types of entities are sorted.

    Returns:
        The rows; none for scores, answers and choices.
    """
    right: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for record in predictions:
        found, true = (set(_things(record, key)) for key in ("prediction", "label"))
        right.update(name for name, *_ in found & true)
        predicted.update(name for name, *_ in found)
        there.update(name for name, *_ in true)
    seen = predicted | there
    names = labels if seen.keys() <= set(labels) else sorted(seen)  # types of entities are no labels
    return [_score(name, right[name], predicted[name], there[name]) for name in names if seen]


def confusion(predictions: Iterable[Prediction], labels: Sequence[str]) -> Confusions | None:
    """The confusion matrix: of texts by class, of words by tag, of entities by type.

    An entity is taken for one of the same words; one that has no counterpart is missed, taken for O, or made of O. So
    the diagonal, the rows and the columns hold what precision and recall are made of.

    None where an example has no one class.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    of_entities = False
    for record in predictions:
        if "entities" in record:
            of_entities = True
            pairs.update(_paired(entities(record["label"]), entities(record["prediction"])))
        elif "words" in record:
            pairs.update(zip(record["label"], record["prediction"], strict=True))
        elif _has_one_class(record):
            pairs[record["label"], record["prediction"]] += 1
    if of_entities:
        labels = [OUTSIDE, *sorted({label.partition("-")[2] for label in labels if label != OUTSIDE})]
    elif not pairs:
        return None
    number = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for (true, predicted), count in pairs.items():
        counts[number[true], number[predicted]] = count
    return Confusions(list(labels), counts)


def _paired(true: Iterable[Entity], found: Iterable[Entity]) -> list[tuple[str, str]]:
    """The types of entities of the same words; O where there is but one of the two."""
    types, others = ({(entity.start, entity.end): entity.type for entity in of} for of in (true, found))
    return [(types.get(words, OUTSIDE), others.get(words, OUTSIDE)) for words in types.keys() | others.keys()]


def labelled(predictions: Iterable[Prediction]) -> list[Prediction]:
    """The records that have a label."""
    return [record for record in predictions if record.get("label") is not None]


def _things(record: Mapping[str, Any], key: str) -> Iterable[tuple[Any, ...]]:
    """What is right or wrong each for itself, as tuples that begin with the name of the class."""
    value = record[key]
    if "entities" in record:
        return entities(value)
    if "words" in record:
        return [(tag, place) for place, tag in enumerate(value)]
    if _has_one_class(record):
        return [(value,)]
    return [(name,) for name in value] if _has_several_labels(record) else []


def _has_one_class(record: Mapping[str, Any]) -> bool:
    return isinstance(record["label"], str) and "question" not in record


def _has_several_labels(record: Mapping[str, Any]) -> bool:
    return isinstance(record["label"], list | tuple) and "question" not in record


def _score(name: str, right: int, predicted: int, there: int) -> ClassScore:
    f1 = 2 * right / max(1, predicted + there)
    return ClassScore(name, right / max(1, predicted), right / max(1, there), f1, there)
