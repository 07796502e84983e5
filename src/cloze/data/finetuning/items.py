"""Encoded examples: token ids in sequences, [CLS] A [SEP] or [CLS] A [SEP] B [SEP], and labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from tokenizers import Tokenizer

from cloze.data.long_texts import TOKENIZER_CHARACTERS, batched, shown, text_windows
from cloze.data.tables.examples import Example
from cloze.errors import InputError
from cloze.text.special_tokens import sequence_ends

E_contra = TypeVar("E_contra", bound=Example, contravariant=True)


class TokenSequence(NamedTuple):
    """One sequence with its special tokens: ``input_ids`` (T,) int32, ``token_type_ids`` (T,) int8."""

    input_ids: np.ndarray
    token_type_ids: np.ndarray


@dataclass(frozen=True, slots=True)
class Item:
    """Sequences that stay together in a batch, with their labels.

    Attributes:
        example: the number of its example in the split. An example may have several items: windows on a long text.
        sequences: one; for multiple choice one a choice.
        labels: concatenated along axis 0 they are those of a ``cloze.batch.TaskBatch``: (1,), (1, L), (T,) or (1, 2).
        origin: what leads from outputs back to the example, as its shape needs it: words or characters of the tokens.
    """

    example: int
    sequences: tuple[TokenSequence, ...]
    labels: np.ndarray
    origin: Any = None

    @property
    def num_tokens(self) -> int:
        return sum(len(sequence.input_ids) for sequence in self.sequences)


class Features(Protocol[E_contra]):
    """The pure feature function of a shape of task.

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        counts: what was truncated or left out, for the report: ``{"texts truncated to 128 tokens": 12}``.

    Features may have ``whole_batches``: where it is true, the items of a global batch are compared with each other, and
    a rank gets its part of it as one micro-batch, whatever its size.
    """

    max_length: int
    counts: Counter[str]

    def labels(self, examples: Sequence[E_contra]) -> list[str]:
        """The labels that the training split has, sorted; none where the shape knows no labels."""

    def items(self, examples: Sequence[E_contra], tokenizer: Tokenizer, labels: Sequence[str]) -> list[Item]:
        """The items of all examples, in their order.

        Raises:
            InputError: a label is not in ``labels``, or an example cannot be shown to the model.
        """


Long = Literal["truncate", "head_tail", "windows"]
"""What is shown of a text that is longer than a sequence: its beginning; its beginning and its end; or all of it, in
overlapping windows."""

HEAD_SHARE = 0.25
"""Of the tokens that ``head_tail`` shows: 128 of 510 in Sun et al. 2019, section 5.3.1."""


def check_long(long: str, head_share: float) -> None:
    """Refuses another word for what is shown of long texts, and a share that is none.

    Raises:
        InputError: one of both.
    """
    if long not in get_args(Long):
        raise InputError(f"task.long={long}: must be one of {', '.join(get_args(Long))}")
    if not 0 <= head_share < 1:
        raise InputError(f"task.features.head_share={head_share}: must be from 0, for the end alone, to below 1")


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """The ids of each text, (T,) int32, without [CLS] and [SEP] around it.

    A special token that stands in a text is that token, as it is to transformers: "[SEP]" in a text is [SEP].
    """
    tokenizer.no_truncation()  # what the folder of a model may have switched on
    tokenizer.no_padding()
    return [
        np.array(encoding.ids, np.int32)
        for part in batched(texts, len, TOKENIZER_CHARACTERS)
        for encoding in tokenizer.encode_batch_fast(part, add_special_tokens=False)
    ]


class Sequences:
    """Puts sequences together and counts the texts that are longer than one.

    Attributes:
        cut: texts, or pairs, of which not every token is shown.
        in_windows: those that are shown in several sequences.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int, long: Long = "truncate", head_share: float = HEAD_SHARE
    ) -> None:
        self.max_length = max_length
        self.long = long
        self.head_share = head_share
        self.cut = self.in_windows = 0
        self._cls, self._sep = (np.array([token.id], np.int32) for token in sequence_ends(tokenizer))

    def of(self, first: np.ndarray, second: np.ndarray | None = None) -> tuple[TokenSequence, ...]:
        """What is read of a text or a pair: one sequence, or windows on the longer text with the shorter one."""
        in_windows, number = self.long == "windows", None if second is None else len(second)
        length, length_pair = shown(len(first), number, self.max_length, in_windows=in_windows)
        self.cut += length < len(first) or length_pair < (number or 0)
        first, second = self._cut(first, length), None if second is None else self._cut(second, length_pair)
        whole = self._whole(first, second)
        if len(whole.input_ids) <= self.max_length:
            return (whole,)
        self.in_windows += 1
        windows = text_windows(length, None if second is None else length_pair, self.max_length, None)
        return tuple(TokenSequence(*(part[window.places] for part in whole)) for window in windows)

    def _cut(self, ids: np.ndarray, length: int) -> np.ndarray:
        """This many tokens, from the beginning or from both ends."""
        if self.long != "head_tail" or len(ids) <= length:
            return ids[:length]
        head = int(self.head_share * length)
        return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])

    def _whole(self, first: np.ndarray, second: np.ndarray | None) -> TokenSequence:
        parts = [self._cls, first, self._sep]
        if second is not None:
            parts += [second, self._sep]
        input_ids = np.concatenate(parts)
        token_type_ids = np.zeros(len(input_ids), np.int8)
        token_type_ids[len(first) + 2 :] = 1
        return TokenSequence(input_ids, token_type_ids)
