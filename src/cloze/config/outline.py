"""Outline of a command's configuration, read from `conf/` and from signatures in milliseconds, without Hydra.

It is for help and completion, which show keys, defaults and comments; what a run uses is composed by Hydra alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cloze.config.arguments import groups, own_folders
from cloze.config.docstrings import first_sentence
from cloze.config.keys import join
from cloze.config.nodes import HYDRA_KEYS
from cloze.config.signatures import Signature
from cloze.config.stated import Stated, defaults, first_comment, read, values
from cloze.config.targets import inspected, section_of, signature_of
from cloze.config.validation import alternatives
from cloze.errors import InputError

CHOICE = re.compile(r"\+{0,2}(?P<group>\w+)=(?P<option>[^\s]*)")
PACKAGE = re.compile(r"# @package (?P<name>[\w.]+)\s*$", re.MULTILINE)
OF_SECTION = re.compile(r"The section `\w+`(?: of [\w-]+)?: (?P<text>.)")


@dataclass(frozen=True)
class Entry:
    """A key that may be set.

    Attributes:
        key: dotted.
        default: its text; None where it must be given.
        meaning: in one line, or nothing.
        hint: its type.
        is_section: whether keys stand below it.
    """

    key: str
    default: str | None
    meaning: str
    hint: Any = Any
    is_section: bool = False


@dataclass
class Outline:
    """The configuration of one command with the options that its words choose.

    Attributes:
        name: of the command and of its file.
        folders: that hold its options: `conf/`, then what `--config-dir` names.
        groups: of the command and of the user's own folder, with their lines.
        default: the option of each group where the words choose none.
        chosen: the option of each group.
        added: groups of the user's own that the words choose and no list of defaults names: to Hydra they are new.
        stated: every key that a file states, dotted.
        schema: the signature of the root.
        plain: the outline of the same words without an experiment; None where they name none.
    """

    name: str
    folders: Sequence[Path]
    schema: Signature
    groups: dict[str, str] = field(default_factory=dict)
    default: dict[str, str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    stated: dict[str, Stated] = field(default_factory=dict)
    plain: "Outline | None" = None

    @cached_property
    def options(self) -> dict[str, list[str]]:
        """Every group of the folders with its options, whether they fit this command or not."""
        return groups(*self.folders)

    @cached_property
    def own_groups(self) -> set[str]:
        """Groups of the user's alone."""
        return set(self.options) - set(groups(self.folders[0])) if len(self.folders) > 1 else set()

    def file(self, group: str, option: str) -> Path | None:
        """Of an option; Hydra, too, takes the first."""
        files = (folder / group / f"{option}.yaml" for folder in self.folders)
        return next((file for file in files if file.is_file()), None)

    def option_lines(self, group: str, options: Sequence[str]) -> dict[str, str]:
        """Options with the first line of each file, which says what it is."""
        files = {option: self.file(group, option) for option in options}
        return {option: first_comment(file) for option, file in files.items() if file is not None}

    def experiments(self, name: str) -> Iterator[str]:
        """The texts of an experiment's file and of those that it begins from, these first."""
        file = self.file("experiment", name)
        if file is not None:
            text = read(file)
            for group, option, _ in defaults(text):
                if group is None and option != name:
                    yield from self.experiments(option)
            yield text

    def entries(self, section: str = "") -> list[Entry]:
        """The keys directly in a section, in the order of the signature; in that of the file where there is none."""
        signature, partial = self.signature(section), f"{section}._partial_" in self.stated
        arguments = {} if signature is None else dict(signature.arguments)
        prefix = f"{section}." if section else ""
        below = [key[len(prefix) :] for key in self.stated if key.startswith(prefix)]
        names = dict.fromkeys([*arguments, *(name for name in below if name and "." not in name)])
        return [
            self._entry(join(section, name), arguments.get(name))
            for name in names
            if name not in HYDRA_KEYS
            and not (partial and name not in below and name in arguments and arguments[name].default is None)
        ]

    def entry(self, key: str) -> Entry | None:
        """The key itself, where there is one."""
        return next((one for one in self.entries(key.rpartition(".")[0]) if one.key == key), None)

    def all_entries(self, section: str = "") -> Iterator[Entry]:
        """All keys, those of sections too."""
        for entry in self.entries(section):
            yield entry
            if entry.is_section:
                yield from self.all_entries(entry.key)

    def signature(self, section: str) -> Signature | None:
        """Of the constructor or the dataclass behind a section."""
        if not section:
            return self.schema
        if (target := self.stated.get(f"{section}._target_")) is not None:
            try:
                return signature_of(target.text, section)
            except InputError:  # of a package that is not installed
                return None
        above, _, name = section.rpartition(".")
        outer = self.signature(above)
        argument = None if outer is None else outer.arguments.get(name)
        hints = () if argument is None else alternatives(argument.hint)
        return next(filter(None, map(section_of, hints)), None)

    def _entry(self, key: str, argument: Any) -> Entry:
        stated, below = self.stated.get(key), self.signature(key)
        is_section = below is not None or (stated is not None and stated.is_section)
        comment, told = "" if stated is None else stated.comment, "" if argument is None else argument.meaning
        # A comment in a file of a group is about that value; the docstring says what the key is.
        meaning = first_sentence(told) if told and ("." in key or not comment) else comment
        if not meaning and below is not None:
            meaning = first_sentence(OF_SECTION.sub(r"\g<text>", below.meaning))
        default = None if argument is None or argument.default is None else as_value(argument.default)
        if stated is not None and not stated.is_section:
            default = None if stated.text == "???" else stated.text
        return Entry(key, default, meaning, Any if argument is None else argument.hint, is_section)


def outline(conf: Path, name: str, schema: type, words: Sequence[str] = ()) -> Outline:
    """Of the command `name` with the options that `words` choose."""
    found = Outline(name, [conf, *own_folders(words)], inspected(schema))
    root = read(conf / f"{name}.yaml")
    for item in defaults(root):
        group, option, line = item
        if group is not None:
            found.groups[group], found.default[group] = line, option
    found.groups |= dict.fromkeys(sorted(found.own_groups), "a group of your own")
    found.chosen |= {**dict.fromkeys(found.own_groups, "null"), **found.default}
    given = {match["group"]: match["option"] for match in map(CHOICE.fullmatch, words) if match}
    given = {group: _first(option) for group, option in given.items() if group in found.groups}
    experiments = list(found.experiments(given.get("experiment", found.chosen.get("experiment", "null"))))
    if experiments:
        found.plain = outline(conf, name, schema, [word for word in words if not word.startswith("experiment=")])
    for experiment in experiments:
        found.chosen |= {group: option for group, option, _ in defaults(experiment) if group is not None}
    found.added = {group for group in found.own_groups & given.keys() if found.chosen[group] == "null"}
    found.chosen |= {group: option for group, option in given.items() if found.file(group, option)}
    for group in found.chosen.keys() - found.added - {"experiment"}:
        _state(found, group)
    for text in (root, *experiments):
        for key, value in values(text):
            if key.partition(".")[0] not in ("defaults", "hydra"):
                found.stated[key] = (
                    value if value.comment or key not in found.stated else _with_comment(found, key, value)
                )
    for group in found.added:  # behind all others
        _state(found, group)
    return found


def _state(found: Outline, group: str) -> None:
    """Add the keys of the option that is chosen of a group, in the package that its file names."""
    file = found.file(group, found.chosen[group])
    if file is not None:
        text = read(file)
        named = PACKAGE.match(text)
        package = "" if named and named["name"] == "_global_" else named["name"] if named else group
        found.stated |= {package: Stated("", "", True)} if package else {}
        found.stated |= {join(package, key): value for key, value in values(text)}


def as_value(default: str) -> str:
    """A default of Python's as the command line has it."""
    plain = {"None": "null", "True": "true", "False": "false"}
    if default.startswith("(") and default.endswith(")"):
        return f"[{default[1:-1].rstrip(',')}]"
    quoted = len(default) > 1 and default[0] == default[-1] and default[0] in "'\""
    return plain.get(default, default[1:-1] if quoted else default)


def _with_comment(found: Outline, key: str, value: Stated) -> Stated:
    return Stated(value.text, found.stated[key].comment, value.is_section)


def _first(option: str) -> str:
    return option.strip("[]'\"").partition(",")[0]
