"""The values and comments in a file of `conf/`, read without Hydra."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cloze.config.keys import join
from cloze.errors import InputError

COMMENT = re.compile(r"\s#\s?(?P<text>.*)$")
OVERRIDE = re.compile(r"(?:override )?/?(?P<group>\w+)")


@dataclass(frozen=True)
class Stated:
    """A value in a file: its text, the comment behind it, and whether it is a section."""

    text: str
    comment: str
    is_section: bool


def read(file: Path) -> str:
    """The text of a file of options.

    Raises:
        InputError: it cannot be read, or is no YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        yaml.compose(text, Loader=yaml.CSafeLoader)
        return text
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{file}: cannot be read ({said}); a file of options is YAML, as those of conf/") from error


def defaults(text: str) -> Iterable[tuple[str | None, str, str]]:
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
                continue
            for group, option in item.value:
                match = OVERRIDE.fullmatch(str(group.value))
                if match is not None and isinstance(option, yaml.ScalarNode):
                    yield match["group"], option.value, comment


def values(text: str) -> Iterator[tuple[str, Stated]]:
    """Every key of a file, dotted, with what stands there."""
    lines = text.splitlines()
    tree = yaml.compose(text, Loader=yaml.CSafeLoader)
    if isinstance(tree, yaml.MappingNode):
        yield from _flat(tree, lines, "")


def _flat(tree: yaml.MappingNode, lines: Sequence[str], section: str) -> Iterator[tuple[str, Stated]]:
    for key, value in tree.value:
        name = join(section, str(key.value))
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


def first_comment(file: Path) -> str:
    """The first line that is for the reader; Hydra wants its own, `# @package`, before it."""
    with file.open(encoding="utf-8") as lines:
        first = next(line for line in lines if not line.startswith("# @package"))
    return first.removeprefix("#").strip() if first.startswith("#") else ""
