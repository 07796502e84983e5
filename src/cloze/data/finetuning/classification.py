"""Features for classification, regression and multi-label tasks on texts and pairs of texts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.items import HEAD_SHARE, Item, Long, Sequences, check_long, encode
from cloze.data.tables.examples import TextExample
from cloze.errors import InputError

Problem = Literal["single_label", "multi_label", "regression"]
"""What the label of a text is: one class (or the probability of each), any number of labels, or a score or several."""

LONG_TEXTS: Mapping[Long, str] = {
    "truncate": "texts truncated to {} tokens",
    "head_tail": "texts truncated to {} tokens, of their beginning and of their end",
    "windows": "texts truncated to half of {} tokens, to stand next to every window of the other",
}
IN_WINDOWS = "texts of more than {} tokens, in overlapping windows, over which the outputs are averaged"

MIN_LENGTH = 5  # a pair of one token each, with its special tokens


@dataclass(kw_only=True)
class TextFeatures:
    """[CLS] A [SEP] and [CLS] A [SEP] B [SEP] (Devlin et al. 2019, figure 4), the longer text truncated first.

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        problem: what a label is.
        long: what is shown of longer texts: ``truncate`` their beginning, ``head_tail`` their beginning and their end
            (Sun et al. 2019, section 5.3.1), or ``windows`` all of them, in windows that overlap by half, whose logits
            are averaged.
        head_share: of the tokens that ``head_tail`` shows, those of the beginning.
        counts: texts that were longer, and empty ones.
    """

    max_length: int = 128
    problem: Problem = "single_label"
    long: Long = "truncate"
    head_share: float = HEAD_SHARE
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_length(self.max_length)
        check_long(self.long, self.head_share)

    def labels(self, examples: Sequence[TextExample]) -> list[str]:
        """The names of all classes, labels or scores, those of columns in their order; none for one score.

        Raises:
            InputError: there are fewer than two classes, or no label at all.
        """
        if examples and isinstance(first := examples[0].label, Mapping):
            return list(first)
        if self.problem == "regression":
            return []
        names: set[str] = set()
        for example in examples:
            names.update(example.label if isinstance(example.label, tuple | Mapping) else [str(example.label)])
        if len(names) < (2 if self.problem == "single_label" else 1):
            found = ", ".join(map(repr, names)) or "no label"
            raise InputError(
                f"{_file(examples)}: all examples have {found}; there must be two classes to tell apart: check"
                " task.data.train and task.data.label"
            )
        return sorted_labels(names)

    def items(self, examples: Sequence[TextExample], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """One item an example, with one sequence, or one a window.

        Raises:
            InputError: a label that is not in `labels`.
        """
        numbers = {label: number for number, label in enumerate(labels)}
        sequences = Sequences(tokenizer, self.max_length, self.long, self.head_share)
        texts = encode(tokenizer, [example.text for example in examples])
        pairs = iter(encode(tokenizer, [e.text_pair for e in examples if e.text_pair is not None]))
        soft = self.problem == "single_label" and any(isinstance(example.label, Mapping) for example in examples)
        items = []
        for number, (example, ids) in enumerate(zip(examples, texts, strict=True)):
            shown = sequences.of(ids, None if example.text_pair is None else next(pairs))
            items.append(Item(number, shown, self._label(example, numbers, soft=soft)))
        if empty := sum(not example.text for example in examples):
            self.counts["texts that are empty, and predicted as such"] += empty
        self.counts[LONG_TEXTS[self.long].format(self.max_length)] += sequences.cut
        self.counts[IN_WINDOWS.format(self.max_length)] += sequences.in_windows
        self.counts += Counter()  # without those that are zero
        return items

    def _label(self, example: TextExample, numbers: Mapping[str, int], *, soft: bool) -> np.ndarray:
        label = example.label
        if self.problem == "regression" and not numbers and not isinstance(label, Mapping):
            return np.array([math.nan if label is None else label], np.float32)
        if self.problem == "regression" or soft:
            return _numbers(example, numbers, complete=not soft)
        if self.problem == "single_label":
            return np.array([IGNORED_LABEL if label is None else _number(str(label), numbers, example)], np.int64)
        row = np.full((1, len(numbers)), math.nan if label is None else 0.0, np.float32)
        if isinstance(label, tuple):
            row[0, [_number(name, numbers, example) for name in label]] = 1.0
        return row


def _numbers(example: TextExample, places: Mapping[str, int], *, complete: bool) -> np.ndarray:
    """Scores or probabilities in the order of the outputs, (1, L)."""
    row = np.full((1, len(places)), 0.0 if example.label is not None else math.nan, np.float32)
    if example.label is None:
        return row
    label = example.label if isinstance(example.label, Mapping) else {}
    if complete and not (places and places.keys() <= label.keys()):
        raise InputError(
            f"{example.where}: has the scores {', '.join(label) or 'of one column'}, but the model gives"
            f" {', '.join(places) or 'one'}; name those columns in task.data.label"
        )
    for name, value in label.items():
        row[0, _number(name, places, example)] = value
    return row


def _number(name: str, numbers: Mapping[str, int], example: TextExample) -> int:
    if name not in numbers:
        raise InputError(
            f"{example.where}: has the label {name!r}, but the training examples have only"
            f" {', '.join(map(repr, numbers))}; fix it, or add examples of it to task.data.train"
        )
    return numbers[name]


def sorted_labels(names: set[str]) -> list[str]:
    """Labels in their order: numbers by value, names by letter."""
    if all(name.isascii() and name.removeprefix("-").isdigit() for name in names):
        return sorted(names, key=int)
    return sorted(names)


def check_length(max_length: int) -> None:
    """Refuses a length that leaves no room for texts."""
    if max_length < MIN_LENGTH:
        raise InputError(f"task.max_length={max_length}: must be at least {MIN_LENGTH}")


def _file(examples: Sequence[TextExample]) -> str:
    return examples[0].where.rpartition(",")[0] if examples else "task.data.train"
