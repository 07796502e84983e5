"""Words of messages that depend on numbers."""

import re

PLURAL = re.compile(r"\b\w+s\b")
SINGULAR = {"entries": "entry", "entities": "entity", "classes": "class"}


def counted(number: int, things: str) -> str:
    """A number with what it counts.

    >>> counted(1, "texts cut at 9 pieces"), counted(2_000, "texts"), counted(1, "bad entries")
    ('1 text cut at 9 pieces', '2,000 texts', '1 bad entry')

    Args:
        number: of things.
        things: more than one of them; the first word in -s is the plural.
    """
    one = PLURAL.sub(lambda word: SINGULAR.get(word[0], word[0][:-1]), things, count=1)
    return f"{number:,} {one if number == 1 else things}"
