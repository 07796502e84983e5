"""Which letters of a text the normalisation of a tokenizer alters or removes, beyond their case.

Of ``schön``, BERT's accent stripping makes ``schon``; of the Thai ``กี่`` it leaves ``ก``; NFKC makes one of letters
that differ in their looks, and two of the Thai ``ำ``. What canonical equivalence says to be the same is no change.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from tokenizers import Tokenizer, normalizers

from cloze.text.bert_rules import steps
from cloze.text.word_boundaries import each

ALTERING = {"BertNormalizer", "StripAccents", "NFKC", "NFKD", "Precompiled"}
"""Normalizers of the tokenizers library that may alter letters."""

ALIKE = {"NFC", "NFD", "Lowercase"}
"""Those that only change the case, or how a mark is written; what NFD has made is stripped of accents. The others are
for blanks, or write bytes."""

SHOWN = 3
"""Letters that are named as examples."""

ASCII = re.compile(r"[\x00-\x7f]+")

BLANKS = re.compile(r"[^\S\x1c-\x1f]+")
"""What ``\\s+`` is in patterns of the library; Python takes four separators for blanks, too."""

FULL_WIDTH = re.compile(r"[\uff01-\uff5e]")
HALF_WIDTH = {chr(number + 0xFEE0): chr(number) for number in range(0x21, 0x7F)}


class Normalization:
    """Normalises as a tokenizer does, by Python's own functions where those are sure to give the same.

    The normal forms of a text do not change from the version of Unicode on that has all of its characters. The tables
    of the library and those of Python are of different versions, and both later than 3.2.

    Attributes:
        by_python: whether Python has a function for each step.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = tokenizer.normalizer
        found = [_by_python(step) for step in each(steps(tokenizer)["normalizer"], "normalizers")]
        self._steps = [step for step in found if step is not None]
        self.by_python = None not in found

    def __call__(self, text: str) -> str:
        """The normalised text."""
        if self._library is None:
            return text
        if not self.by_python or not _of_old_characters(text):
            return str(self._library.normalize_str(text))
        for step in self._steps:
            text = step(text)
        return text


def _by_python(step: dict[str, Any]) -> Callable[[str], str] | None:
    """What a step of a normalizer does to old characters; None where Python has no function that does it."""
    if (kind := step["type"]) in ("NFC", "NFD", "NFKC", "NFKD"):
        return _compatible if kind == "NFKC" else partial(unicodedata.normalize, kind)
    if kind == "Lowercase":
        return str.lower
    if kind != "Replace":
        return None
    pattern, content = step["pattern"], str(step["content"])
    if pattern == {"Regex": r"\s+"}:
        return lambda text: BLANKS.sub(lambda _: content, text)
    string = pattern.get("String")
    return (lambda text: text.replace(string, content)) if string else None


def _compatible(text: str) -> str:
    """NFKC; where full-width signs are all that it alters, as in Chinese, it has to look at them alone."""
    return unicodedata.normalize("NFKC", FULL_WIDTH.sub(lambda found: HALF_WIDTH[found[0]], text))


def _of_old_characters(text: str) -> bool:
    """Whether a text has only characters of Unicode 3.2, and no capital sigma, whose small form depends on the word."""
    return text.isascii() or _old_characters().fullmatch(text) is not None


@cache
def _old_characters() -> re.Pattern[str]:
    old = ranges(lambda letter: is_old(letter) and letter != "\u03a3")
    return re.compile(f"[{old}]*")


def is_old(character: str) -> bool:
    """Whether a character was there in Unicode 3.2."""
    return unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs")


def ranges(wanted: Callable[[str], bool]) -> str:
    """The wanted ones of the first 65,536 characters, as ranges of a class in a regular expression."""
    found = "".join("01"[wanted(chr(number))] for number in range(1 << 16))
    return "".join(f"\\u{run.start():04x}-\\u{run.end() - 1:04x}" for run in re.finditer("1+", found))


class AlteredLetters(dict[str, bool]):
    """Whether normalisation alters a letter or mark; as a mapping, a cache that has those that were asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        found = [
            step for step in each(steps(tokenizer)["normalizer"], "normalizers") if step["type"] in ALTERING | ALIKE
        ]
        self._normalizer: normalizers.Normalizer | None = None
        if any(step["type"] in ALTERING for step in found):
            self._normalizer = normalizers.Sequence([])
            self._normalizer.__setstate__(json.dumps({"type": "Sequence", "normalizers": found}).encode())

    def found(self, text: str) -> Iterator[str]:
        """The letters of a text that normalisation alters, each as often as it stands there; none is of ASCII."""
        if self._normalizer is None or text.isascii():
            return iter(())
        return filter(self.__getitem__, ASCII.sub("", text))

    def normalized(self, letter: str) -> str:
        """What normalisation makes of a letter."""
        return letter if self._normalizer is None else self._normalizer.normalize_str(letter).strip()

    def __missing__(self, letter: str) -> bool:
        found = unicodedata.category(letter)[0] in "LM" and _same_case(self.normalized(letter)) != _same_case(letter)
        self[letter] = found
        return found


def _same_case(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def changes(altered: Mapping[str, str]) -> str:
    """The change of each letter, for readers.

    >>> changes({"ö": "o", "漢": "", "ﬁ": "fi"})
    'ö becomes o, 漢 is removed, ﬁ becomes f i'
    """
    return ", ".join(
        f"{_shown(letter)} becomes {' '.join(changed)}" if changed else f"{_shown(letter)} is removed"
        for letter, changed in altered.items()
    )


def _shown(letter: str) -> str:
    return f"\u25cc{letter}" if unicodedata.category(letter) == "Mn" else letter
