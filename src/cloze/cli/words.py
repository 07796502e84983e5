"""Detect mistakes in the arguments of a command line and suggest corrections."""

import difflib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from cloze.config.arguments import CONTINUED, FLAGS, looks_like_folder
from cloze.config.fitting import fitting, misfit, unknown_part
from cloze.config.keys import nearest, suggestion
from cloze.config.outline import Outline
from cloze.config.spelling import is_one_text, quoted, takes_text
from cloze.errors import InputError

OWN = {"--dry-run": ("train", "finetune"), "--list": ("prepare",)}
"""Flags of some commands alone."""

SHOWN = ("--help", "--multirun", "--cfg", "--resolve", "--config-dir", "--completion", *OWN, "--version")
"""Flags that a mistyped one may have been meant for."""

VALUES = {"--cfg": ("job", "hydra", "all"), "-c": ("job", "hydra", "all")}
KEY = re.compile(r"[A-Za-z_][\w.]*")
SECTIONED = re.compile(r"(?:\+{0,2}|~)(?P<key>[A-Za-z_][\w./@]*)=(?P<value>.*)", re.DOTALL)
OWN_FILES = re.compile(r"--config-(path|name)|-c[pn]\b|\+*hydra\.searchpath|\S*_target_=")
SEVERAL = re.compile(r"[^\[{('\"\\]*,.*")


def refuse_mistakes(words: Sequence[str], found: Outline) -> None:
    """Look at the words as a person types them.

    Args:
        words: of the command line, without those that a command reads itself.
        found: the outline of the command's configuration with these words.

    Raises:
        InputError: a word cannot be meant so.
    """
    sweep = bool({"-m", "--multirun"} & set(words))
    own = any(OWN_FILES.match(word) for word in words)  # groups and keys that are not known here
    takes, keys = "", []
    for number, word in enumerate(words):
        behind = words[number + 1] if number + 1 < len(words) else None
        if takes:
            _check_taken(takes, word)
            takes = ""
        elif word.startswith("-") and word != "-":
            takes = _flag(word, behind, found)
        elif (match := SECTIONED.fullmatch(word)) is None:
            _refuse_bare(word, words[:number], behind, found)
        else:
            _check_choice(word, match["key"], match["value"], found, sweep=sweep)
            if not (own or word.startswith("~")):
                _check_option(match["key"], match["value"], found, words)
            if not (own or sweep or word.startswith("~")):
                keys.append(match["key"])
    if takes:
        raise InputError(f"{takes} needs a value behind it" + _valid(takes))
    for key in keys:  # once all options are known to be there: they bring the keys
        _check_key(key, found)


def _flag(word: str, behind: str | None, found: Outline) -> str:
    """The flag when a word follows that belongs to it."""
    flag, sign, value = word.partition("=")
    if flag in FLAGS:
        if sign and FLAGS[flag]:
            _check_taken(flag, value)
        return flag if FLAGS[flag] and not sign else ""
    name = flag.lstrip("-").replace("-", "_")
    if name and (key := _key_like(name, found)) is not None:
        given = value if sign else behind if behind is not None and "=" not in behind else "..."
        raise InputError(f"unknown option '{flag}': values are set as KEY=VALUE; did you mean '{key}={given}'?")
    raise InputError(f"unknown option '{flag}'{nearest(flag, SHOWN)}")


def _check_taken(flag: str, value: str) -> None:
    if flag in VALUES and value not in VALUES[flag]:
        raise InputError(f"{flag} is '{value}', but must be one of {', '.join(VALUES[flag])}")
    if flag in ("--config-dir", "-cd") and not Path(value).is_dir():
        raise InputError(f"--config-dir: there is no folder '{value}'")


def _refuse_bare(word: str, before: Sequence[str], behind: str | None, found: Outline) -> None:
    """A word without `=`, or with nothing before it; `~KEY` takes a key out."""
    if word.startswith("~") and KEY.fullmatch(word[1:].partition("=")[0]):
        return
    previous = before[-1] if before else ""
    if word == "=" or word.startswith("=") or (previous.endswith("=") and "=" not in word):
        value = behind or "..." if word == "=" else word.lstrip("=") if word.startswith("=") else word
        raise InputError(f"blanks around '=': write '{previous.rstrip('=')}={value}' as one word")
    if behind is not None and behind.startswith("="):
        return  # reported at that word, which knows both sides
    keys = {entry.key for entry in found.all_entries()} | set(found.groups)
    key, sign, value = word.partition(":")
    if sign and key in keys:
        raise InputError(f"cannot read '{word}': values are set with '=', as {key}={value.strip() or '...'}")
    if word in keys:
        value = behind if behind is not None and not SECTIONED.fullmatch(behind) and behind[0] != "-" else "..."
        raise InputError(f"'{word}' has no value: write {word}={value}")
    close = nearest(word, keys) if difflib.get_close_matches(word, keys, n=1) else ""
    raise InputError(f"cannot read '{word}': expected KEY=VALUE or GROUP=OPTION{close}")


def _check_choice(word: str, key: str, value: str, found: Outline, *, sweep: bool) -> None:
    """What is chosen of a group, and several values without a sweep."""
    several = SEVERAL.fullmatch(value) and all(part.strip() for part in value.split(","))
    several = several and not sweep and not key.startswith("hydra")
    if key not in found.groups and several and not is_one_text(key, value, found):
        text = f", or {shlex.quote(f'{key}={quoted(value)}')} for one text" if takes_text(key, found) else ""
        raise InputError(
            f"'{word}' has several values: give -m for a run with each of them, or '{key}=[{value}]' for a list{text}"
        )
    is_folder = key == "model" and Path(value).expanduser().is_dir()
    if key not in found.groups or is_folder:
        return
    if value.startswith("{"):
        raise InputError(
            f"'{word}': {key} is a group, of which an option is chosen ({', '.join(fitting(found, key))}); "
            f"its keys are set as {key}.KEY=VALUE"
        )
    if "," in value and not sweep and not value.startswith("["):
        raise InputError(f"'{word}' chooses several options: give -m for a run with each of them")


def _check_option(key: str, value: str, found: Outline, words: Sequence[str]) -> None:
    """An option that no file is, or that is for other commands; a model may be a folder, or a name of the hub."""
    if key not in found.groups:
        return
    whole = key == "model" and Path(value).expanduser().is_dir()
    for option in [value] if whole else [option.strip() for option in value.strip("[]").split(",")]:
        if option == "null" or re.fullmatch(r"[\w./-]+" if key != "model" else "[^()]+", option) is None:
            continue
        is_folder = key == "model" and found.file(key, option) is None and looks_like_folder(option)
        if not is_folder and found.file(key, option) is None:
            raise InputError(unknown_option(found, key, option))
        # Further ranks get the words as Hydra has them.
        by_init = option == CONTINUED and any(word.lstrip("+").startswith("init=") for word in words)
        if not by_init and (reason := misfit(found, key, "folder" if is_folder else option)):
            raise InputError(f"'{key}={option}': {reason}" + _fitting(found, key))


def _check_key(key: str, found: Outline) -> None:
    """A key that no signature has: reported at once, as the check of all would later."""
    if key in found.groups or not KEY.fullmatch(key) or key.partition(".")[0] in {"hydra", *found.own_groups}:
        return
    if unknown := unknown_part(found, key):
        section, _, name = unknown.rpartition(".")
        signature = found.signature(section)
        arguments = set() if signature is None else set(signature.arguments)
        known = [entry.key for entry in found.all_entries()]
        raise InputError(f"unknown key '{unknown}'{suggestion(name, section, arguments, known)}")


def unknown_option(found: Outline, group: str, option: str) -> str:
    """The sentence on an option that a group lacks."""
    valid = fitting(found, group)
    if group != "model" or misfit(found, group, "folder"):
        return f"unknown option '{group}={option}'" + _meant(group, option, valid)
    sizes = [size for size in valid if size != "folder"]
    close = difflib.get_close_matches(option, sizes, n=1)
    meant = f"did you mean 'model={close[0]}'?" if close else "give the folder of a model, or hub:NAME"
    also = f", nor a size of this name ({', '.join(sizes)})" if sizes else ""
    return f"model={option}: there is no folder '{option}' here{also}; {meant}"


def _meant(group: str, option: str, valid: Sequence[str]) -> str:
    last = {name.rpartition("/")[2]: name for name in valid}
    close = difflib.get_close_matches(option.rpartition("/")[2], last, n=1)
    if close:
        return f"; did you mean '{group}={last[close[0]]}'?"
    return f"; valid here: {', '.join(valid)}" if valid else ""


def _fitting(found: Outline, group: str) -> str:
    valid = fitting(found, group)
    return f"; valid here: {', '.join(valid)}" if valid and group != "model" else ""


def _key_like(name: str, found: Outline) -> str | None:
    """The key that ends in a name, or in one like it."""
    by_name: dict[str, str] = {}
    for entry in found.all_entries():
        by_name.setdefault(entry.key.rpartition(".")[2], entry.key)
        by_name.setdefault(entry.key, entry.key)
    by_name |= {group: group for group in found.groups}
    close = difflib.get_close_matches(name, by_name, n=1, cutoff=0.75)
    return by_name[close[0]] if close else None


def _valid(flag: str) -> str:
    return f": one of {', '.join(VALUES[flag])}" if flag in VALUES else ""
