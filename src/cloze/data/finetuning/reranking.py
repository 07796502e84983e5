"""Features for re-ranking: a query with each of its passages is a sequence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from cloze.data.finetuning.classification import check_length
from cloze.data.finetuning.embedding import score_row
from cloze.data.finetuning.items import Item, Sequences, encode
from cloze.data.tables.examples import PairExample
from cloze.errors import InputError

TRUNCATED = "pairs of query and passage truncated to {} tokens"


@dataclass(kw_only=True)
class RerankingFeatures:
    """[CLS] query [SEP] passage [SEP] of the positive, then of each negative; the longer text is truncated first.

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        negatives: of each query are read, at most; null for all.
        counts: sequences that were truncated.
    """

    max_length: int = 128
    negatives: int | None = None
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_length(self.max_length)
        if self.negatives is not None and self.negatives < 0:
            raise InputError(f"task.features.negatives={self.negatives}: must be at least 0, or null for all")

    def labels(self, examples: Sequence[PairExample]) -> list[str]:
        """None: a passage has a score."""
        return []

    def items(self, examples: Sequence[PairExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """One item a query, with one sequence a passage; equal texts are encoded once.

        Its labels are (1, K) float32: the scores of a teacher, else 1 for the positive and 0 for negatives; NaN where
        it has fewer passages than the query that has most.

        Raises:
            InputError: scores that are not one for each passage.
        """
        groups = [[example.positive, *example.negatives[: self.negatives]] for example in examples]
        texts = list(
            dict.fromkeys(text for e, group in zip(examples, groups, strict=True) for text in (e.text, *group))
        )
        ids = dict(zip(texts, encode(tokenizer, texts), strict=True))
        sequences = Sequences(tokenizer, self.max_length)
        width = max(map(len, groups), default=1)
        items = []
        for number, (example, group) in enumerate(zip(examples, groups, strict=True)):
            shown = tuple(sequences.of(ids[example.text], ids[passage])[0] for passage in group)
            items.append(Item(number, shown, score_row(example, len(group), width)))
        if sequences.cut:
            self.counts[TRUNCATED.format(self.max_length)] += sequences.cut
        return items
