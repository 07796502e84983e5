"""Which letters of a text the normalisation of a tokenizer alters or removes, beyond their case.

Of ``schön``, BERT's accent stripping makes ``schon``; of the Thai ``กี่`` it leaves ``ก``; NFKC makes one of letters
that differ in their looks, and two of the Thai ``ำ``. What canonical equivalence says to be the same is no change.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping

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
