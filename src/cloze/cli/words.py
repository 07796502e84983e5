"""Mistakes that the words of a command line show by themselves, each told with what was meant."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloze.config.outline import Outline
from cloze.config.validation import HYDRA_KEYS, join, nearest, suggestion
from cloze.errors import InputError

FLAGS = {  # Hydra's, and whether a word follows
    "--help": False, "-h": False, "--hydra-help": False, "--version": False, "--multirun": False, "-m": False,
    "--cfg": True, "-c": True, "--resolve": False, "--run": False, "-r": False, "--info": False, "-i": False,
    "--config-dir": True, "-cd": True, "--config-name": True, "-cn": True, "--config-path": True, "-cp": True,
    "--package": True, "-p": True, "--experimental-rerun": True, "--shell-completion": False, "-sc": False,
}  # fmt: skip
SHOWN = ("--help", "--multirun", "--cfg", "--resolve", "--config-dir", "--completion", "--dry-run")
"""Flags that a mistyped one may have been meant for."""

VALUES = {"--cfg": ("job", "hydra", "all"), "-c": ("job", "hydra", "all")}
KEY = re.compile(r"[A-Za-z_][\w.]*")
SECTIONED = re.compile(r"(?:\+{0,2}|~)(?P<key>[A-Za-z_][\w./@]*)=(?P<value>.*)", re.DOTALL)
OWN_FILES = re.compile(r"--config-(dir|path|name)|-c[dpn]|\+*hydra\.searchpath|\S*_target_=")
SEVERAL = re.compile(r"[^\[{('\"\\]*,.*")


def refuse_mistakes(words: Sequence[str], options: Mapping[str, Sequence[str]], found: Outline) -> None:
    """Look at the words as a person types them.

    Args:
        words: of the command line, without those that a command reads itself.
        options: of every group of `conf/`.
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
            _check_choice(word, match["key"], match["value"], options, found, sweep=sweep)
            if not (own or sweep or word.startswith("~")):
                _check_option(match["key"], match["value"], options, found)
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
        return  # told at that word, which knows both sides
    keys = {entry.key for entry in found.all_entries()} | set(found.groups)
    key, sign, value = word.partition(":")
    if sign and key in keys:
        raise InputError(f"cannot read '{word}': values are set with '=', as {key}={value.strip() or '...'}")
    if word in keys:
        value = behind if behind is not None and not SECTIONED.fullmatch(behind) and behind[0] != "-" else "..."
        raise InputError(f"'{word}' has no value: write {word}={value}")
    close = nearest(word, keys) if difflib.get_close_matches(word, keys, n=1) else ""
    raise InputError(f"cannot read '{word}': expected KEY=VALUE or GROUP=OPTION{close}")


def _check_choice(
    word: str, key: str, value: str, options: Mapping[str, Sequence[str]], found: Outline, *, sweep: bool
) -> None:
    """What is chosen of a group, and several values without a sweep."""
    if key not in found.groups and SEVERAL.fullmatch(value) and not sweep and not key.startswith("hydra"):
        raise InputError(
            f"'{word}' has several values: give -m for a run with each of them, or '{key}=[{value}]' for a list"
        )
    if key not in found.groups:
        return
    if value.startswith("{"):
        raise InputError(
            f"'{word}': {key} is a group, of which an option is chosen ({', '.join(options[key])}); its keys are set "
            f"as {key}.KEY=VALUE"
        )
    if "," in value and not sweep and not value.startswith("["):
        raise InputError(f"'{word}' chooses several options: give -m for a run with each of them")


def _check_option(key: str, value: str, options: Mapping[str, Sequence[str]], found: Outline) -> None:
    """An option that no file is; a model may be a folder, or a name of the hub."""
    if key not in found.groups:
        return
    for option in value.strip("[]").split(","):
        plain = re.fullmatch(r"[\w./-]+", option.strip())
        if plain is None or plain[0] in {*options[key], "null"}:
            continue
        if not (key == "model" and ("/" in plain[0] or Path(plain[0]).is_dir())):
            raise InputError(unknown_option(key, plain[0], options[key]))


def _check_key(key: str, found: Outline) -> None:
    """A key that no signature has: told at once, as the check of all would later."""
    if key in found.groups:
        return
    section = ""
    for name in key.split("."):
        signature = found.signature(section)
        if signature is None or not KEY.fullmatch(key) or (section == "" and name == "hydra"):
            return
        stated = {entry.key for entry in found.entries(section)}
        if name not in {*signature.arguments, *HYDRA_KEYS} and join(section, name) not in stated:
            known = [entry.key for entry in found.all_entries()]
            raise InputError(
                f"unknown key '{join(section, name)}'{suggestion(name, section, set(signature.arguments), known)}"
            )
        section = join(section, name)


def unknown_option(group: str, option: str, valid: Sequence[str]) -> str:
    """The sentence on an option that a group lacks."""
    return f"unknown option '{group}={option}'" + nearest(f"{group}={option}", (f"{group}={x}" for x in valid))


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
