"""Convert shell arguments to the syntax of Hydra's grammar.

That grammar knows a few signs of ASCII only, splits at commas, strips blanks and turns `1e3` into a number. A person
types the name of a file, or `;` as the separator of a column, and means just that.
"""

import re
import shlex
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloze.config.arguments import MULTIRUN, parted
from cloze.config.outline import Entry, Outline
from cloze.config.validation import alternatives
from cloze.errors import InputError

WORD = re.compile(r"(?P<signs>\+{0,2})(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
PLAIN = re.compile(r"[A-Za-z_/][\w/.@%+:*?-]*", re.ASCII)
"""What the grammar takes for the text that it is, unless it is one of `WORDS`."""
WORDS = ("null", "true", "false", "nan", "inf")
PATHS = frozenset(
    {
        "cache", "checkpoint", "data", "datasets", "dev", "file", "files", "folder", "from", "init", "input", "output",
        "prepared", "probe", "resume", "sentences", "start_from", "test", "to", "train", "vocab",
    }
)  # fmt: skip
"""Last parts of the keys that name a file or a folder, where their value is text."""

NO_PATHS = frozenset({"columns", "callbacks"})
"""Sections in which such words name something else."""


def spelled(words: Sequence[str], found: Outline) -> list[str]:
    """The words of a command line, the values in Hydra's spelling where theirs is not.

    Args:
        words: as `cloze.config.arguments.forced` leaves them; a group that is new to Hydra gets its `+`.
        found: the outline of the command with these words.

    Raises:
        InputError: a list that cannot be read, with the spelling that can.
    """
    flags, others = parted(words)
    sweep = bool(set(MULTIRUN) & set(flags))
    return [*flags, *(_spelled(word, found, sweep=sweep) for word in others)]


def is_path(entry: Entry) -> bool:
    """Whether a key names a file or a folder."""
    section, _, name = entry.key.rpartition(".")
    return Path in alternatives(entry.hint) or (name in PATHS and section.partition(".")[0] not in NO_PATHS)


def is_one_text(key: str, value: str, found: Outline) -> bool:
    """Whether a value with commas is one text: the name of a file, where the key names one."""
    entry = found.entry(key)
    return entry is not None and is_path(entry) and (_takes_text_alone(entry) or _exists(value))


def takes_text(key: str, found: Outline) -> bool:
    """Whether the value of a key may be a text of any kind."""
    entry = found.entry(key)
    return entry is not None and str in alternatives(entry.hint)


def quoted(text: str) -> str:
    """A text in quotes, as Hydra's grammar reads it back."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.double).with_quotes()


def _spelled(word: str, found: Outline, *, sweep: bool) -> str:
    match = WORD.fullmatch(word)
    if match is None or match["key"] in found.groups or match["key"].startswith("hydra."):
        return f"+{word}" if match is not None and match["key"] in found.added and not match["signs"] else word
    key, value = match["key"], match["value"]
    if value in ("", "null") or (PLAIN.fullmatch(value) and value.lower() not in WORDS):
        return word
    entry = found.entry(key)
    if entry is not None and is_path(entry) and re.match(r"~(/|$)", value):
        value = str(Path(value).expanduser())
    try:
        return f"{match['signs']}{key}={_value(value, entry, sweep=sweep)}"
    except ValueError:
        items = ",".join(quoted(item.strip()) for item in value[1:-1].split(","))
        spelling = shlex.quote(f"{key}=[{items}]")
        raise InputError(f"cannot read '{word.lstrip('+')}': with quotes it is {spelling}") from None


def _value(value: str, entry: Entry | None, *, sweep: bool) -> str:
    """A value as Hydra has it.

    Raises:
        ValueError: it is meant for a list, but is none in the grammar.
    """
    override = _parsed(value)
    text = entry is not None and (_takes_text_alone(entry) or (is_path(entry) and not _takes_numbers(entry)))
    single = entry is not None and (_takes_text_alone(entry) or (is_path(entry) and _exists(value)))
    if override is None:
        parts = value.split(",")
        if sweep and len(parts) > 1 and all(parts):
            return ",".join(_value(part, entry, sweep=True) for part in parts)
        return quoted(value) if single else _not_read(value, entry)
    plain = override._value
    if sweep or plain is None or type(plain).__name__ == "QuotedString":
        return value
    if override.is_sweep_override() or isinstance(plain, list | dict):
        return quoted(value) if single else value
    if isinstance(plain, str):
        changed = plain == value.strip() or _exists(value)  # else a spelling of Hydra's, as a\\,b
        return quoted(value) if text and plain != value and changed else value
    return quoted(value) if text else value


def _not_read(value: str, entry: Entry | None) -> str:
    """A value that the grammar cannot read: a text, unless it looks like a list or a section."""
    is_list = value.startswith("[") and value.endswith("]")
    is_section = value.startswith("{") and value.endswith("}")
    takes_it = entry is not None and str in alternatives(entry.hint) and not is_list and not is_section
    if takes_it or value[0] not in "[{('\"":
        return quoted(value)
    if is_list:
        raise ValueError(value)
    return value


def _parsed(value: str) -> Any:
    """What Hydra's grammar makes of it; None where it cannot read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"++key={value}")
    except HydraException:
        return None


def _takes_text_alone(entry: Entry) -> bool:
    kinds = set(alternatives(entry.hint))
    return bool(kinds & {str, Path}) and kinds <= {str, Path, types.NoneType}


def _takes_numbers(entry: Entry) -> bool:
    return bool({int, float} & set(alternatives(entry.hint)))


def _exists(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name that is too long, a user that is not known, a null character
        return False
