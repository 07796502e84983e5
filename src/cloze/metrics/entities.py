"""Entities of tagged sentences, and their precision, recall and F1 as in the CoNLL shared tasks.

The rule is conlleval's (Tjong Kim Sang and Buchholz 2000, "Introduction to the CoNLL-2000 shared task"): an entity is
right when its type and both its ends are.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
UNNAMED = "entity"
"""The type of entities whose tags name none."""
TYPED = re.compile(r"[BIESULM]-.+", re.DOTALL)
BEGINNINGS = frozenset("BSU")  # Single and Unit are entities of one word
CONTINUATIONS = frozenset("IEML")  # End, Middle, Last
ENDINGS = frozenset("ELSU")
BARE = BEGINNINGS | CONTINUATIONS


class Entity(NamedTuple):
    """Words ``start`` to ``end`` (exclusive) of a sentence."""

    type: str
    start: int
    end: int


class Scores(NamedTuple):
    """Shares in [0, 1]; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float


class EntityScores(NamedTuple):
    """Scores over a set of sentences.

    Attributes:
        overall: of the entities of all types together (micro average).
        types: of each type that the labels have, sorted by name.
        accuracy: the share of words with the right tag.
    """

    overall: Scores
    types: dict[str, Scores]
    accuracy: float


def make_entities(tags: Iterable[str]) -> bool:
    """Whether tags are those of entities: all but O have the prefix of a scheme, or all are such prefixes alone."""
    others = set(tags) - {OUTSIDE}
    return bool(others) and (all(map(is_typed, others)) or (others <= BARE and bool(others & {"B", "I"})))


def is_typed(tag: str) -> bool:
    """Whether a tag has the prefix of a scheme and the type of an entity."""
    return TYPED.fullmatch(tag) is not None


def bio2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities with B- on every first word and I- on the others.

    It reads IOB1, IOB2 (BIO), IOE, BIOES, BILOU, BMES and plain IO alike, since one rule says where an entity begins in
    all of them: at B-, S- or U-; and at any other tag that follows O, another type, or the end (E-, L-, S-, U-) of an
    entity. For BIO tags that is conlleval's rule. Tags without a type, B and I alone, get one.
    """
    normal = []
    last_prefix = last_type = ""
    for tag in tags:
        prefix, _, kind = (tag, "", UNNAMED) if tag in BARE else tag.partition("-")
        if kind:
            begins = prefix in BEGINNINGS or kind != last_type or last_prefix in ENDINGS
            normal.append(f"{'B' if begins else 'I'}-{kind}")
        else:
            normal.append(OUTSIDE)
        last_prefix, last_type = prefix, kind
    return tuple(normal)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, in order."""
    found: list[Entity] = []
    normal = bio2(tags)
    for start, tag in enumerate(normal):
        if tag[0] == "B":
            end = start + 1
            while end < len(normal) and normal[end][0] == "I":
                end += 1
            found.append(Entity(tag[2:], start, end))
    return found


def entity_scores(labels: Iterable[Sequence[str]], predictions: Iterable[Sequence[str]]) -> EntityScores:
    """Scores of predicted tags, sentence by sentence.

    Args:
        labels: the right tags of each sentence.
        predictions: as many, each as long.
    """
    gold: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    right: Counter[str] = Counter()
    words = right_words = 0
    for true_tags, tags in zip(labels, predictions, strict=True):
        words += len(true_tags)
        right_words += sum(true == tag for true, tag in zip(true_tags, tags, strict=True))
        true_entities, found = set(entities(true_tags)), set(entities(tags))
        gold.update(entity.type for entity in true_entities)
        predicted.update(entity.type for entity in found)
        right.update(entity.type for entity in true_entities & found)
    return EntityScores(
        overall=_scores(right.total(), predicted.total(), gold.total()),
        types={kind: _scores(right[kind], predicted[kind], gold[kind]) for kind in sorted(gold)},
        accuracy=right_words / max(1, words),
    )


def _scores(right: int, predicted: int, gold: int) -> Scores:
    # F1 is the harmonic mean of both, 2pr / (p + r), which is this.
    return Scores(right / max(1, predicted), right / max(1, gold), 2 * right / max(1, predicted + gold))
