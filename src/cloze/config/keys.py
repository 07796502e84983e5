"""Dotted keys: how to join them and find the nearest valid one."""

import difflib
from collections.abc import Iterable


def join(key: str, name: str) -> str:
    """The dotted key of a name in a section; of the root the key is empty."""
    return f"{key}.{name}" if key else name


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something in `valid` is like `name`, else the list of what is valid."""
    names = sorted(valid)
    # Two letters that are swapped are the commonest slip.
    swapped = [other for other in names if other != name and sorted(other) == sorted(name)]
    if close := swapped or difflib.get_close_matches(name, names, n=1):
        return f"; did you mean '{close[0]}'?"
    return f"; valid here: {', '.join(names)}" if names else ""


def suggestion(name: str, key: str, named: set[str], known: list[str]) -> str:
    """The nearest sibling, else a much nearer name in another section, else what is valid here."""
    elsewhere = {path.rpartition(".")[2]: path for path in reversed(known) if path != join(key, name)}
    sibling, (other, likeness) = _likest(name, named)[1], _likest(name, elsewhere)
    if likeness > 0.8 and likeness > sibling + 0.1:
        return f"; did you mean '{elsewhere[other]}'?"
    return nearest(join(key, name), (join(key, valid) for valid in named))


def _likest(name: str, valid: Iterable[str]) -> tuple[str, float]:
    likeness = {other: difflib.SequenceMatcher(None, other, name).ratio() for other in sorted(valid)}
    return max(likeness.items(), key=lambda item: item[1], default=("", 0.0))
