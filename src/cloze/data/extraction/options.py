"""The options of feature extraction; fast to import, for the command line."""

from dataclasses import dataclass
from typing import Literal

from cloze.errors import InputError

SHORTEST = 5
"""Tokens of the shortest sequence that is read: one of each text of a pair, and the special ones."""

Level = Literal["token", "word", "word_mean", "cls", "pooler", "mean", "max"]
TOKEN_LEVELS = ("token", "word", "word_mean")
"""Levels with several hidden states a text."""

LongTexts = Literal["windows", "truncate"]
VectorType = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How long a sequence is, and what is done with longer texts.

    Attributes:
        max_length: tokens of the longest sequence, special ones included.
        stride: tokens from the beginning of a window to that of the next; null for half of a window.
        long_texts: ``windows``: each token from the window in which it has the most context; or ``truncate``.
        special_tokens: whether level=token gives [CLS] and [SEP] out, too.

    Raises:
        InputError: a pair has no room.
    """

    max_length: int
    stride: int | None = None
    long_texts: LongTexts = "windows"
    special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.max_length < SHORTEST:
            raise InputError(
                f"max_length={self.max_length}: must be at least {SHORTEST}, for a pair with [CLS] and [SEP]"
            )
