"""The rules of quality and their thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from cloze.errors import InputError

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""English ones (Rae et al. 2021, appendix A1.1)."""

LINE_RULES = ("line_endings", "min_line_words", "forbidden_in_lines")
"""These drop lines; all others drop documents."""

SETTINGS = ("stop_words",)
"""What belongs to another rule and drops nothing by itself."""

SMALLEST_TOP_NGRAM, SMALLEST_DUPLICATE_NGRAM = 2, 5


@dataclass(frozen=True, kw_only=True)
class QualityRules:
    """Which lines and documents of the text are left out; a rule that is null drops nothing.

    Words are what stands between blanks, and single characters of scripts without spaces. Lines are judged first, then
    what is left of the document.

    Attributes:
        line_endings: a line is dropped unless it ends with one of these.
        min_line_words: a line with fewer words is dropped.
        forbidden_in_lines: a line that contains one of these, in any case, is dropped.
        min_words: a document with fewer words is dropped.
        max_words: a document with more words is dropped.
        min_sentences: a document with fewer sentences, as `sentences` splits it, is dropped.
        forbidden: a document that contains one of these, in any case, is dropped.
        min_mean_word_length: in characters; a document with shorter words on average is dropped.
        max_mean_word_length: in characters; a document with longer words on average is dropped.
        max_symbols_per_word: hash signs for each word, or ellipses for each word, whichever are more.
        max_bullet_lines: share of the lines that begin with a bullet.
        max_ellipsis_lines: share of the lines that end with an ellipsis.
        min_alphabetic_words: share of the words that have a letter.
        min_stop_words: a document with fewer different ones of `stop_words` is dropped.
        stop_words: in lower case; null for eight English ones (Rae et al. 2021).
        max_duplicate_lines: share of the lines that stand earlier in the same document, too.
        max_duplicate_line_characters: share of the characters that are in such lines.
        max_top_ngrams: share of the characters in the most frequent sequence of 2 words, of 3, and so on.
        max_duplicate_ngrams: share of the characters in all repeated sequences of 5 words, of 6, and so on.
        languages: codes as `en`, recognised by the package py3langid; a document in another language is dropped.
        min_language_confidence: with which one of `languages` is to be recognised, 0 to 1.
    """

    line_endings: Sequence[str] | None = None
    min_line_words: int | None = None
    forbidden_in_lines: Sequence[str] | None = None
    min_words: int | None = None
    max_words: int | None = None
    min_sentences: int | None = None
    forbidden: Sequence[str] | None = None
    min_mean_word_length: float | None = None
    max_mean_word_length: float | None = None
    max_symbols_per_word: float | None = None
    max_bullet_lines: float | None = None
    max_ellipsis_lines: float | None = None
    min_alphabetic_words: float | None = None
    min_stop_words: int | None = None
    stop_words: Sequence[str] | None = None
    max_duplicate_lines: float | None = None
    max_duplicate_line_characters: float | None = None
    max_top_ngrams: Sequence[float] | None = None
    max_duplicate_ngrams: Sequence[float] | None = None
    languages: Sequence[str] | None = None
    min_language_confidence: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.stated().items():
            self._check(name, value)
        for kind in ("words", "mean_word_length"):
            least, most = getattr(self, f"min_{kind}"), getattr(self, f"max_{kind}")
            if least is not None and most is not None and least > most:
                raise InputError(f"quality.min_{kind}={least} is above quality.max_{kind}={most}: no document is left")
        if self.stop_words is not None and (self.min_stop_words or 0) > len(set(self.stop_words)):
            raise InputError(
                f"quality.min_stop_words={self.min_stop_words}: quality.stop_words has only {len(set(self.stop_words))}"
            )
        if self.min_language_confidence is not None and self.languages is None:
            raise InputError("quality.min_language_confidence is for quality.languages, which is null: give both")
        if self.languages is not None:
            from cloze.text.quality.language import check_languages

            check_languages(self.languages)

    def _check(self, name: str, value: Any) -> None:
        if isinstance(value, str) or (isinstance(value, Sequence) and not value):
            raise InputError(f"quality.{name}={value}: expected a list with at least one entry, or null")
        numbers = value if isinstance(value, Sequence) else [value]
        shares = ("max_bullet_lines", "max_ellipsis_lines", "min_alphabetic_words", "min_language_confidence")
        if name in shares or name.startswith(("max_duplicate", "max_top")):
            if not all(0 <= number <= 1 for number in numbers):
                raise InputError(f"quality.{name}={value}: expected a share, from 0 to 1")
        elif any(not isinstance(number, str) and number < 0 for number in numbers):
            raise InputError(f"quality.{name}={value}: expected a number that is not negative")
        elif any(isinstance(number, str) and not number for number in numbers):
            raise InputError(f"quality.{name}: has an empty entry, which every text contains; leave it out")

    def stated(self) -> dict[str, Any]:
        """What is not null, as JSON."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None
        }

    def limits(self) -> dict[str, Any]:
        """The threshold of each rule that may drop something, by the name under which it is reported."""
        found: dict[str, Any] = {}
        first = {"max_top_ngrams": SMALLEST_TOP_NGRAM, "max_duplicate_ngrams": SMALLEST_DUPLICATE_NGRAM}
        for name, value in self.stated().items():
            if name in first:
                found |= {ngrams(name, size): share for size, share in enumerate(value, start=first[name])}
            elif name not in SETTINGS:
                found[name] = value
        return found


def ngrams(rule: str, size: int) -> str:
    """The name under which a rule for sequences of some words is reported.

    >>> ngrams("max_top_ngrams", 3)
    'max_top_ngrams (3 words)'
    """
    return f"{rule} ({size} words)"
