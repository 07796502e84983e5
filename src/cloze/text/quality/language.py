"""The language of a text, by py3langid: naive Bayes over byte sequences (Lui & Baldwin 2012), offline.

It is 4.5 MB with its model and needs numpy alone. lingua is as good on single lines, but has 96 MB, takes 29 s to load
and reads German at 20 kB/s; gcld3 and fastText are built with a compiler.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from cloze.errors import InputError
from cloze.runtime.distribution import installation

CHARACTERS = 1_000
"""How much of the beginning of a document is looked at: about a millisecond."""


def check_languages(languages: Sequence[str]) -> None:
    """Refuse languages that cannot be told.

    Raises:
        InputError: the package is not installed, or does not know one of the codes.
    """
    known = _identifier().labels
    if unknown := [code for code in languages if code not in known]:
        raise InputError(
            f"quality.languages: {unknown[0]!r} is not known: expected codes of ISO 639, as en, de or zh, of "
            f"{len(known)} languages"
        )


def language(text: str) -> tuple[str, float]:
    """The code of the language of a text, ISO 639-1, and the confidence, 0 to 1."""
    code, confidence = _identifier().classify(text[:CHARACTERS])
    return str(code), float(confidence)


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise InputError(
            f"quality.languages needs the package py3langid, which is not installed: {installation('corpus')}"
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
