"""What a command's configuration holds, read from `conf/` and from signatures within milliseconds and without Hydra.

It is for help and completion, which show keys, defaults and comments; what a run uses is composed by Hydra alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloze.config.docstrings import first_sentence
from cloze.config.signatures import Signature
from cloze.config.targets import inspected, section_of, signature_of
from cloze.config.validation import HYDRA_KEYS, alternatives, join
from cloze.errors import InputError

COMMENT = re.compile(r"\s#\s?(?P<text>.*)$")
CHOICE = re.compile(r"\+{0,2}(?P<group>\w+)=(?P<option>[^\s]*)")
OF_SECTION = re.compile(r"The section `\w+`(?: of [\w-]+)?: (?P<text>.)")
OVERRIDE = re.compile(r"(?:override )?/?(?P<group>\w+)")
GLOBAL = "# @package _global_"


@dataclass(frozen=True)
class Stated:
    """A value in a file: its text, the comment behind it, and whether it is a section."""

    text: str
    comment: str
    is_section: bool


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
        groups: of the command, with their lines.
        chosen: the option of each group.
        stated: every key that a file states, dotted.
        schema: the signature of the root.
    """

    conf: Path
    schema: Signature
    groups: dict[str, str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    stated: dict[str, Stated] = field(default_factory=dict)

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
    found = Outline(conf, inspected(schema))
    root = _read(conf / f"{name}.yaml")
    for item in _defaults(root):
        group, option, line = item
        if group is not None:
            found.groups[group], found.chosen[group] = line, option
    given = {match["group"]: match["option"] for match in map(CHOICE.fullmatch, words) if match}
    given = {group: _first(option) for group, option in given.items() if group in found.groups}
    experiments = list(_experiments(conf, given.get("experiment", found.chosen.get("experiment", "null"))))
    for experiment in experiments:
        found.chosen |= {group: option for group, option, _ in _defaults(experiment) if group is not None}
    found.chosen |= {group: option for group, option in given.items() if (conf / group / f"{option}.yaml").is_file()}
    for group, option in found.chosen.items():
        file = conf / group / f"{option}.yaml"
        if group != "experiment" and file.is_file():
            found.stated[group] = Stated("", "", True)
            found.stated |= {join(group, key): value for key, value in _values(_read(file))}
    for text in (root, *experiments):
        for key, value in _values(text):
            if key.partition(".")[0] not in ("defaults", "hydra"):
                found.stated[key] = (
                    value if value.comment or key not in found.stated else _with_comment(found, key, value)
                )
    return found


def as_value(default: str) -> str:
    """A default of Python's as the command line has it."""
    plain = {"None": "null", "True": "true", "False": "false"}
    if default.startswith("(") and default.endswith(")"):
        return f"[{default[1:-1].rstrip(',')}]"
    quoted = len(default) > 1 and default[0] == default[-1] and default[0] in "'\""
    return plain.get(default, default[1:-1] if quoted else default)


def _with_comment(found: Outline, key: str, value: Stated) -> Stated:
    return Stated(value.text, found.stated[key].comment, value.is_section)


def _experiments(conf: Path, name: str) -> Iterator[str]:
    """The texts of an experiment's file and of those that it begins from, these first."""
    file = conf / "experiment" / f"{name}.yaml"
    if file.is_file():
        text = _read(file)
        for group, option, _ in _defaults(text):
            if group is None and option != name:
                yield from _experiments(conf, option)
        yield text


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _first(option: str) -> str:
    return option.strip("[]'\"").partition(",")[0]


def _defaults(text: str) -> Iterable[tuple[str | None, str, str]]:
    """The defaults list: group, option and comment; without a group for a file of the same one."""
    lines = text.splitlines()
    tree = yaml.compose(text, Loader=yaml.CSafeLoader)
    pairs = tree.value if isinstance(tree, yaml.MappingNode) else []
    for key, value in pairs:
        for item in value.value if key.value == "defaults" else []:
            comment = _comment(lines[item.start_mark.line])
            if isinstance(item, yaml.ScalarNode):
                if item.value != "_self_":
                    yield None, item.value, comment
            else:
                ((group, option),) = item.value
                match = OVERRIDE.fullmatch(group.value)
                if match is not None:
                    yield match["group"], option.value, comment


def _values(text: str) -> Iterator[tuple[str, Stated]]:
    """Every key of a file, dotted, with what stands there."""
    lines = text.splitlines()
    tree = yaml.compose(text, Loader=yaml.CSafeLoader)
    if isinstance(tree, yaml.MappingNode):
        yield from _flat(tree, lines, "")


def _flat(tree: yaml.MappingNode, lines: Sequence[str], section: str) -> Iterator[tuple[str, Stated]]:
    for key, value in tree.value:
        name = join(section, key.value)
        if section == "" and key.value == "defaults":
            continue
        is_section = isinstance(value, yaml.MappingNode) and bool(value.value)
        yield name, Stated("" if is_section else _text(value, lines), _comment(lines[key.start_mark.line]), is_section)
        if is_section:
            yield from _flat(value, lines, name)


def _text(node: Any, lines: Sequence[str]) -> str:
    """A value as its file has it, in one line."""
    start, end = node.start_mark, node.end_mark
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{len(node.value)} values]"
    if isinstance(node, yaml.ScalarNode) and node.style in (None, "'", '"') and start.line == end.line:
        return str(node.value) if node.value else "''" if node.style else "null"
    if start.line == end.line:
        return str(lines[start.line][start.column : end.column])
    inner = [line.strip() for line in lines[start.line + 1 : end.line]]
    first, last = lines[start.line][start.column :], lines[end.line][: end.column]
    return " ".join([first.strip(), *inner, last.strip()]).strip()


def _comment(line: str) -> str:
    match = COMMENT.search(line)
    return match["text"].strip() if match else ""


def option_lines(conf: Path, group: str, options: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The options of a group with the first line of each file, which says what it is."""
    return {option: first_comment(conf / group / f"{option}.yaml") for option in options.get(group, ())}


def first_comment(file: Path) -> str:
    """The first line that is for the reader; Hydra wants its own, `# @package`, before it."""
    with file.open(encoding="utf-8") as lines:
        first = next(line for line in lines if not line.startswith("# @package"))
    return first.removeprefix("#").strip() if first.startswith("#") else ""
