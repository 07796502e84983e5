"""Features for multiple choice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.classification import check_length
from cloze.data.finetuning.items import HEAD_SHARE, Item, Long, Sequences, check_long, encode
from cloze.data.tables.examples import ChoiceExample
from cloze.errors import InputError

CUT: dict[Long, str] = {
    "truncate": "sequences truncated to {} tokens",
    "head_tail": "sequences truncated to {} tokens, of the beginning and of the end of the longer text",
}


@dataclass(kw_only=True)
class ChoiceFeatures:
    """One sequence a choice: [CLS] beginning [SEP] choice [SEP] (Devlin et al. 2019, section 4.4).

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        long: what is shown of longer ones: of the longer text ``truncate`` the beginning, ``head_tail`` the beginning
            and the end (Sun et al. 2019, section 5.3.1).
        head_share: of the tokens that ``head_tail`` shows, those of the beginning.
        counts: sequences that were truncated.
    """

    max_length: int = 128
    long: Literal["truncate", "head_tail"] = "truncate"
    head_share: float = HEAD_SHARE
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_length(self.max_length)
        check_long(self.long, self.head_share)

    def labels(self, examples: Sequence[ChoiceExample]) -> list[str]:
        """None: the choices differ from example to example."""
        return []

    def items(self, examples: Sequence[ChoiceExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """One item an example, with one sequence a choice.

        Raises:
            InputError: an example has fewer than two choices.
        """
        for example in examples:
            if len(example.choices) < 2:
                raise InputError(f"{example.where}: must have two choices at least; fix task.data.choices or the file")
        sequences = Sequences(tokenizer, self.max_length, self.long, self.head_share)
        texts = encode(tokenizer, [example.text for example in examples])
        endings = iter(encode(tokenizer, [choice for example in examples for choice in example.choices]))
        items = [
            Item(
                number,
                tuple(sequences.of(ids, next(endings))[0] for _ in example.choices),
                np.array([IGNORED_LABEL if example.label is None else example.label], np.int64),
            )
            for number, (example, ids) in enumerate(zip(examples, texts, strict=True))
        ]
        if sequences.cut:
            self.counts[CUT[self.long].format(self.max_length)] += sequences.cut
        return items
