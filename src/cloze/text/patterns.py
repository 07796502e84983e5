"""Try the patterns and replacements of a tokenizer in a separate process before using them.

A regular expression may take longer than anyone lives, and its library then panics or hangs; replacements may make of
one character a million. Only what a file brings along itself is tried: the rules that the tokenizers library has in
code are linear.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from cloze.text.bert_rules import steps

SECONDS = 10
"""What all trials may take; those of patterns in use take a fiftieth."""
LENGTH = 3000
"""Characters of a text that is tried."""
GROWTH = 100
"""How many characters may come out for one; the widest of Unicode's own forms has 18."""
MEGABYTES = 4096

_TRIAL = f"""
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} << 20, {MEGABYTES} << 20))
from tokenizers import Tokenizer
rules, texts = json.load(sys.stdin)
tokenizer = Tokenizer.from_str(rules)
for text in texts:
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
        if len(text) > {GROWTH * LENGTH}:
            sys.exit("it makes texts more than {GROWTH} times as long")
    if tokenizer.pre_tokenizer is not None:
        parts = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        if sum(len(part) for part, _ in parts) > {GROWTH * LENGTH}:
            sys.exit("it makes texts more than {GROWTH} times as long")
print("good")
"""


def pattern_fault(tokenizer: Tokenizer) -> str | None:
    """What is wrong with the patterns and replacements of a tokenizer, if anything."""
    rules = steps(tokenizer)
    return _fault(tokenizer.to_str()) if any(_stated([rules["normalizer"], rules["pre_tokenizer"]])) else None


@lru_cache(maxsize=4)  # a command reads the tokenizer of a folder several times
def _fault(rules: str) -> str | None:
    parts = json.loads(rules)
    stated = list(_stated([parts["normalizer"], parts["pre_tokenizer"]]))
    named = f"with the pattern {stated[0]!r:.60}" if len(stated) == 1 else f"with {len(stated)} patterns"
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            input=json.dumps([rules, _texts(stated)]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its normalizer or pre_tokenizer, {named}, takes more than {SECONDS} s for a text of {LENGTH:,} letters"
    if trial.stdout == "good\n":
        return None
    reason = trial.stderr.strip().split("\n")[-1]
    if "retry-limit" in trial.stderr:
        reason = f"it goes back too often in a text of {LENGTH:,} letters"
    return f"its normalizer or pre_tokenizer, {named}, cannot be used ({reason:.200})"


def _stated(part: Any) -> Iterator[str]:
    """All patterns and all contents for them."""
    if isinstance(part, list):
        for inner in part:
            yield from _stated(inner)
    elif isinstance(part, dict):
        if isinstance(pattern := part.get("pattern"), dict):
            yield from (str(value) for value in pattern.values())
        if part.get("type") in ("Replace", "Prepend"):
            yield from (str(part[name]) for name in ("content", "prepend") if part.get(name))
        yield from _stated([value for value in part.values() if isinstance(value, dict | list)])


def _texts(stated: list[str]) -> list[str]:
    """Texts on which a pattern goes back most: of one character, two of its own, itself, and then an odd sign.

    The signs of the patterns follow it, since a text that lacks one that must be there is not looked at.
    """
    own = sorted({character for text in stated for character in text[:LENGTH]})[:40]
    odd = f"☃{''.join(own)}"
    units = [*own, "a", " ", "1", ".", "a ", "a1", "é", *(text[:LENGTH] for text in stated)]
    units += [first + second for first in own[:8] for second in own[:8]]
    return [unit * (LENGTH // len(unit)) + end for unit in dict.fromkeys(units) if unit for end in ("", "☃", odd)]
