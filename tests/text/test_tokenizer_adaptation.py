"""What the configuration says of a tokenizer next to a model that brings its own."""

from typing import Any

import pytest

from cloze.errors import InputError
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece
from cloze.text.tokenizer_adaptation import check_own

CASED = WordPiece(lowercase=False).build([*SPECIAL_TOKENS, "a", "A"])
UNCASED = WordPiece().build([*SPECIAL_TOKENS, "a"])


def test_what_is_as_there_or_as_by_default_is_let_through() -> None:
    check_own(WordPiece(), CASED, "m")
    check_own(WordPiece(lowercase=False), CASED, "m")
    check_own(WordPiece(vocab_size=500, special_tokens=["<user>"]), UNCASED, "m")


@pytest.mark.parametrize(
    "asked",
    [
        {"lowercase": False},
        {"chinese_characters": False},
        {"strip_accents": False},
        {"max_input_chars_per_word": 50},
        {"vocab": "vocab.txt"},
    ],
)
def test_what_is_otherwise_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"tokenizer\.{next(iter(asked))} is .*, but m has a tokenizer of its own"):
        check_own(WordPiece(**asked), UNCASED, "m")
