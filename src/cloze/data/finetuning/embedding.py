"""Features for embeddings: each text of an example is a sequence of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from cloze.data.finetuning.classification import check_length
from cloze.data.finetuning.items import Item, Sequences, encode
from cloze.data.tables.examples import PairExample
from cloze.errors import InputError

TRUNCATED = "texts truncated to {} tokens"


class Origin(NamedTuple):
    """What the texts of an item are, to find those that are no negatives.

    Attributes:
        texts: (n,) int64, of its text, its positive and its negatives: equal texts of a split have equal numbers.
        group: the number of its label; -1 for none.
    """

    texts: np.ndarray
    group: int


@dataclass(kw_only=True)
class EmbeddingFeatures:
    """[CLS] text [SEP] of a text, its positive, then its negatives.

    Attributes:
        max_length: tokens of the longest sequence, special ones and prompt included.
        query_prompt: before every text that is compared with others, as ``query: ``; null for none, and of a trained
            model for its own.
        passage_prompt: before every other, as ``passage: ``.
        include_prompt: whether the pooling reads the prompt's tokens, too; only models of others leave them out.
        negatives: of each example are read, at most; null for all.
        counts: texts that were truncated.
    """

    whole_batches: ClassVar[bool] = True
    max_length: int = 128
    query_prompt: str | None = None
    passage_prompt: str | None = None
    include_prompt: bool = True
    negatives: int | None = None
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_length(self.max_length)
        if self.negatives is not None and self.negatives < 0:
            raise InputError(f"task.features.negatives={self.negatives}: must be at least 0, or null for all")

    def labels(self, examples: Sequence[PairExample]) -> list[str]:
        """None: the texts are compared with each other."""
        return []

    def items(self, examples: Sequence[PairExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """One item an example; equal texts are encoded once.

        Raises:
            InputError: scores that are not one for each of an example's texts.
        """
        places: dict[tuple[str, str], int] = {}  # of each prompt and text
        rows: list[list[int]] = []  # of each example
        for example in examples:
            others = [example.positive, *example.negatives[: self.negatives]]
            mine = [(self.query_prompt or "", example.text), *((self.passage_prompt or "", other) for other in others)]
            rows.append([places.setdefault(key, len(places)) for key in mine])
        cut = Sequences(tokenizer, self.max_length)
        sequences = [cut.of(ids)[0] for ids in encode(tokenizer, [prompt + text for prompt, text in places])]
        numbers: dict[str, int] = {}
        same = [numbers.setdefault(text, len(numbers)) for _, text in places]
        groups = {name: number for number, name in enumerate(dict.fromkeys(each.group for each in examples))}
        width = max((len(row) - 1 for row in rows), default=1)
        items = []
        for number, (example, row) in enumerate(zip(examples, rows, strict=True)):
            group = -1 if example.group is None else groups[example.group]
            origin = Origin(np.array([same[place] for place in row], np.int64), group)
            scores = score_row(example, len(row) - 1, width)
            items.append(Item(number, tuple(sequences[place] for place in row), scores, origin))
        if cut.cut:
            self.counts[TRUNCATED.format(self.max_length)] += cut.cut
        return items


def score_row(example: PairExample, count: int, width: int) -> np.ndarray:
    """(1, width) float32: of the positive and the negatives, 1 and 0 where nobody says; NaN for no text.

    Args:
        example: with or without scores.
        count: of its texts that are read, the positive included.
        width: of the split.

    Raises:
        InputError: scores that are not one for each of its texts.
    """
    row = np.full((1, width), np.nan, np.float32)
    given = example.scores
    if given is not None and len(given) != 1 + len(example.negatives):
        raise InputError(
            f"{example.where}: has {len(given)} scores, but {1 + len(example.negatives)} texts; give one for each"
        )
    row[0, :count] = [1.0] + [0.0] * (count - 1) if given is None else given[:count]
    return row
