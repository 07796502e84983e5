"""What the rules of quality measure of a document."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np

from cloze.text.scripts import WITHOUT_SPACES

WORD = re.compile(rf"{WITHOUT_SPACES.pattern}|(?:(?!{WITHOUT_SPACES.pattern})\S)+")
LETTER = re.compile(r"[^\W\d_]")
BULLETS = ("•", "‣", "▪", "●", "◦", "- ", "* ")
ELLIPSES = ("...", "…")


def words_of(line: str) -> list[str]:
    """What stands between blanks; characters of scripts without spaces are words of their own.

    >>> words_of("Tokyo is 東京.")
    ['Tokyo', 'is', '東', '京', '.']
    """
    return WORD.findall(line) if WITHOUT_SPACES.search(line) else line.split()


class Measures:
    """Of some lines; each is computed when it is first asked for."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines

    @cached_property
    def words(self) -> list[str]:
        """Of all lines, in order."""
        return [word for line in self.lines for word in words_of(line)]

    @cached_property
    def word_lengths(self) -> np.ndarray:
        """(w,) int64, in characters."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @property
    def mean_word_length(self) -> float:
        return float(self.word_lengths.sum()) / max(len(self.words), 1)

    @property
    def symbols_per_word(self) -> float:
        """Hash signs, or ellipses, whichever are more."""
        hashes = sum(line.count("#") for line in self.lines)
        ellipses = sum(line.count(mark) for line in self.lines for mark in ELLIPSES)
        return max(hashes, ellipses) / max(len(self.words), 1)

    def share_of_lines(self, is_such: Callable[[str], bool]) -> float:
        return sum(map(is_such, self.lines)) / max(len(self.lines), 1)

    @property
    def alphabetic_words(self) -> float:
        """Share of the words that have a letter, of any script."""
        return sum(LETTER.search(word) is not None for word in self.words) / max(len(self.words), 1)

    def count_stop_words(self, stop_words: Iterable[str]) -> int:
        """How many different ones of these words there are."""
        return len(set(stop_words).intersection(map(str.lower, self.words)))

    @cached_property
    def repeated_lines(self) -> list[str]:
        """Those that stood before; the first of equal ones is not repeated."""
        seen: set[str] = set()
        found: list[str] = []
        for line in self.lines:
            (found.append if line in seen else seen.add)(line)
        return found

    @property
    def duplicate_line_characters(self) -> float:
        return sum(map(len, self.repeated_lines)) / max(sum(map(len, self.lines)), 1)

    @cached_property
    def _word_ids(self) -> np.ndarray:
        """(w,) int64: equal for equal words."""
        ids: dict[str, int] = {}
        return np.fromiter((ids.setdefault(word, len(ids)) for word in self.words), np.int64, len(self.words))

    @cached_property
    def _numbered(self) -> list[np.ndarray]:
        """For 1, 2, ... words as far as they were asked for, (w - size + 1,) int64: equal for equal sequences."""
        return [self._word_ids]

    def _ngrams(self, size: int) -> np.ndarray:
        """(w - size + 1,) int64: equal for equal sequences of `size` words, and below their number."""
        while len(self._numbered) < size:  # pairs of a shorter sequence and the word behind it, numbered anew
            pairs = self._numbered[-1][:-1] * np.int64(len(self.words)) + self._word_ids[len(self._numbered) :]
            self._numbered.append(np.unique(pairs, return_inverse=True)[1])
        return self._numbered[size - 1]

    def top_ngram(self, size: int) -> float:
        """Share of the characters in the most frequent sequence of `size` words; 0 where none occurs twice.

        Of several that are equally frequent the longest counts; no character counts twice.
        """
        if len(self.words) < size:
            return 0.0
        ids = self._ngrams(size)
        counts = np.bincount(ids)[ids]
        if (most := counts.max()) == 1:
            return 0.0
        lengths = np.convolve(self.word_lengths, np.ones(size, np.int64), "valid")
        longest = ids[np.argmax(np.where(counts == most, lengths, -1))]
        return self._covered(np.flatnonzero(ids == longest), size)

    def duplicate_ngrams(self, size: int) -> float:
        """Share of the characters in sequences of `size` words that occur twice or more; no character counts twice."""
        if len(self.words) < size:
            return 0.0
        shorter = self._numbered[-1]
        if len(self._numbered) < size and len(shorter) and shorter.max() + 1 == len(shorter):
            return 0.0  # no shorter sequence is repeated
        ids = self._ngrams(size)
        return self._covered(np.flatnonzero(np.bincount(ids)[ids] > 1), size)

    def _covered(self, begins: np.ndarray, size: int) -> float:
        """Share of the characters in the sequences of `size` words that begin here."""
        if not len(begins):
            return 0.0
        bounds = len(self.words) + 1
        changes = np.bincount(begins, minlength=bounds) - np.bincount(begins + size, minlength=bounds)
        covered = np.cumsum(changes[:-1]) > 0
        return float(self.word_lengths[covered].sum() / self.word_lengths.sum())
