"""What the model sees of an example: token ids in sequences, and labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from tokenizers import Tokenizer

from cloze.data.tables.examples import Example

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
