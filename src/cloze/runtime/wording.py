"""Format numbers in messages: with nouns, and as durations."""

import itertools
import re

VOWEL = re.compile("(?!eu)[aeio]", re.IGNORECASE)  # a "u", alone or in "Eu", begins with the sound of "you"
PLURAL = re.compile(r"\b\w+s\b")
SINGULAR = {"entries": "entry", "entities": "entity", "classes": "class"}


def counted(number: int, things: str) -> str:
    """A number with what it counts.

    >>> counted(1, "texts truncated to 9 tokens"), counted(2_000, "texts"), counted(1, "bad entries")
    ('1 text truncated to 9 tokens', '2,000 texts', '1 bad entry')

    Args:
        number: of things.
        things: more than one of them; the first word in -s is the plural.
    """
    one = PLURAL.sub(lambda word: SINGULAR.get(word[0], word[0][:-1]), things, count=1)
    return f"{number:,} {one if number == 1 else things}"


def with_article(noun: str) -> str:
    """A noun after "a" or "an".

    >>> with_article("BERT"), with_article("ELECTRA"), with_article("EuroBERT")
    ('a BERT', 'an ELECTRA', 'a EuroBERT')
    """
    return f"{'an' if VOWEL.match(noun) else 'a'} {noun}"


def duration(seconds: float) -> str:
    """A time for a reader: the two largest units.

    >>> duration(45), duration(480), duration(200_000)
    ('45 s', '8 min 0 s', '2 d 7 h')
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    whole = round(seconds)
    for (unit, scale), (finer, below) in itertools.pairwise(units):
        if whole >= scale:
            return f"{whole // scale} {unit} {whole % scale // below} {finer}"
    return f"{seconds:.3g} s"
