"""`--help`, read from the comments in `conf/` and from docstrings without imports."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloze.cli.words import OWN, unknown_option
from cloze.config.arguments import parted
from cloze.config.fitting import fitting, misfit
from cloze.config.keys import nearest
from cloze.config.outline import Entry, Outline, outline
from cloze.config.validation import described
from cloze.errors import InputError

WORKED_EXAMPLES = 3
WIDEST = 120
PIPED = 100
EXAMPLE = re.compile(r"(?P<command>\S.*?)(?:\s{2,}(?P<comment>\S.*))?")
OPTIONS = {
    "-m, --multirun": "a sweep: every combination of the values with commas, as in -m seed=1,2,3",
    "--cfg job": "print the composed configuration and stop; --resolve fills in the references",
    "--config-dir FOLDER": "further groups and experiment files of your own",
    "--completion SHELL": "a script for bash, zsh or fish: completion of groups, options, keys and files",
    "--version": "which cloze this is, and where it lies",
    "--help [TOPIC]": "this page, or one on a group, GROUP=OPTION, section or key; --help examples has more",
}
OF_COMMANDS = {
    "--dry-run": "compose, make everything, try one step, report memory, time and tokens; write nothing",
    "--list": "the corpora that are prepared in data/, with their sizes",
}


def help_page(conf: Path, name: str, schema: type, words: list[str]) -> str:
    """What `--help` prints for the words of a command line: the overview, or the page on the topic behind it.

    Raises:
        InputError: the topic is none.
    """
    topics = parted(words)[1]
    page = Page(_width(), colours=_colours())
    if not topics:
        page.overview(conf, name, schema, words)
    for topic in topics:
        page.topic(conf, name, schema, topic, words)
    return page.text


def help_text(conf: Path, name: str, schema: type, width: int = PIPED) -> str:
    """The overview without colours."""
    page = Page(width, colours=False)
    page.overview(conf, name, schema)
    return page.text


def head_of(conf: Path, name: str) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """The head comment of a root: what the command does, its examples with comments, and what stands below them."""
    lines = []
    for line in (conf / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    examples: list[tuple[str, str]] = []
    above: list[str] = []
    below: list[str] = []
    joined = ""
    for line in lines:
        if line.startswith("  "):
            text = joined + line.strip()
            if text.endswith("\\"):
                joined = text.removesuffix("\\")
                continue
            joined = ""
            match = EXAMPLE.fullmatch(text)
            assert match is not None
            examples.append((match["command"], match["comment"] or ""))
        elif line:
            (below if examples else above).append(line)
    return above, examples, below


class Page:
    """Text for a terminal of some width."""

    def __init__(self, width: int, *, colours: bool) -> None:
        self.width, self.colours = width, colours
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def overview(self, conf: Path, name: str, schema: type, words: Sequence[str] = ()) -> None:
        """What a command does, three examples, groups and sections with a line each."""
        above, examples, below = head_of(conf, name)
        found = outline(conf, name, schema, words)
        self.paragraph(" ".join(above))
        self.head("Examples")
        self.examples(examples[:WORKED_EXAMPLES])
        if below:
            self.lines.append("")
            self.paragraph(" ".join(below))
        if found.groups:
            self.head("Groups", "GROUP=OPTION chooses; * is the default; --help GROUP shows more")
            for group, line in found.groups.items():
                options = fitting(found, group)
                marked = [f"{option}*" if option == found.chosen[group] else option for option in options]
                self.row(group, f"{line}: {', '.join(marked)}")
        entries = [entry for entry in found.entries() if entry.key not in found.groups]
        self.head("Keys", "KEY=VALUE sets; below, SECTION. has keys of its own: --help SECTION shows them")
        for entry in entries:
            if entry.is_section:
                self.row(f"{entry.key}.", f"{entry.meaning}: {', '.join(_names(found, entry.key))}")
            else:
                self.row(entry.key, _with_default(entry))
        self.head("Options")
        own = {flag: line for flag, line in OF_COMMANDS.items() if name in OWN[flag]}
        for flag, line in {**OPTIONS, **own}.items():
            self.row(flag, line, column=22)

    def topic(self, conf: Path, name: str, schema: type, topic: str, words: list[str]) -> None:
        """A group, a group's option, a section, a key, or the examples.

        Raises:
            InputError: it is none of them.
        """
        group, sign, option = topic.lstrip("+").partition("=")
        found = outline(conf, name, schema, words)
        if topic == "examples":
            self.examples(head_of(conf, name)[1])
            return
        key = group.rstrip(".")
        entries = {entry.key: entry for entry in found.all_entries()}
        if key in found.groups and sign and option not in found.options[key]:
            raise InputError(unknown_option(found, key, option))
        if key in found.groups and sign and (reason := misfit(found, key, option)):
            raise InputError(f"{topic}: {reason}")
        if key in found.groups:
            self.paragraph(f"{key}: {found.groups[key]}")
            self.head("Options", f"{key}=OPTION; * is chosen")
            for one, line in found.option_lines(key, fitting(found, key)).items():
                self.row(f"{'*' if one == found.chosen[key] else ' '} {one}", line, column=24)
        elif key not in entries:
            raise InputError(f"--help {topic}: no such group, section or key{nearest(key, [*found.groups, *entries])}")
        self.keys(found, key, entries.get(key))

    def keys(self, found: Outline, section: str, entry: Entry | None) -> None:
        """Every key of a section with its default and its meaning; of a key, its type too."""
        if entry is not None and not entry.is_section and section not in found.groups:
            self.row(f"{entry.key}={entry.default if entry.default is not None else '...'}", entry.meaning, column=34)
            self.row("", f"must be {described(entry.hint)}", column=34)
            return
        if entry is not None and section not in found.groups:
            self.paragraph(f"{section}: {entry.meaning}")
        chosen = f"{section}={found.chosen[section]}" if section in found.groups else section
        target = found.stated.get(f"{section}._target_")
        self.head(f"Keys of {chosen}", f"arguments of {target.text}" if target is not None else "")
        entries = [one for one in found.all_entries(section) if not one.is_section]
        for one in entries:
            self.row(f"{one.key}={one.default if one.default is not None else '...'}", one.meaning, column=34)
        if not entries:
            self.lines.append("  none")

    def paragraph(self, text: str) -> None:
        self.lines += textwrap.wrap(text, self.width)

    def head(self, title: str, line: str = "") -> None:
        """A title in bold, and what is said of it behind or below."""
        bold = f"\x1b[1m{title}\x1b[0m" if self.colours else title
        self.lines.append("")
        if line and len(title) + len(line) + 2 > self.width:
            self.lines += [bold, *textwrap.wrap(line, self.width)]
        else:
            self.lines.append(f"{bold}  {line}".rstrip())

    def row(self, name: str, text: str, column: int = 14) -> None:
        """A name, and its text next to it or, where the name is too long, below."""
        wrapped = textwrap.wrap(text, max(20, self.width - column - 2), break_on_hyphens=False) or [""]
        shown = f"\x1b[36m{name}\x1b[0m" if self.colours else name
        if len(name) < column:
            self.lines.append(f"  {shown}{' ' * (column - len(name))}{wrapped.pop(0)}".rstrip())
        else:
            self.lines.append(f"  {shown}")
        self.lines += [f"  {' ' * column}{line}" for line in wrapped if line]

    def examples(self, examples: list[tuple[str, str]]) -> None:
        """Each with its comment above; a long command is broken so that it can be pasted."""
        for command, comment in examples:
            if comment:
                grey = f"\x1b[2m# {comment}\x1b[0m" if self.colours else f"# {comment}"
                self.lines.append(f"  {grey}")
            cut = list(_cut(command, self.width - 6))
            self.lines += [f"  {line}" if number == 0 else f"      {line}" for number, line in enumerate(cut)]


def _cut(command: str, width: int) -> Iterator[str]:
    """A command over several lines, at blanks that stand in no quotes."""
    line = ""
    for word in re.findall(r"(?:[^\s'\"]|'[^']*'|\"[^\"]*\")+", command):
        if line and len(line) + len(word) + 1 > width - 2:
            yield f"{line} \\"
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _names(found: Outline, section: str) -> list[str]:
    return [entry.key.rpartition(".")[2] for entry in found.entries(section)]


def _with_default(entry: Entry) -> str:
    default = "must be given" if entry.default is None else f"default: {entry.default or repr('')}"
    return f"{entry.meaning} ({default})" if entry.meaning else default


def _width() -> int:
    """Of the terminal, or of `COLUMNS`."""
    return max(40, min(WIDEST, shutil.get_terminal_size((PIPED, 24)).columns))


def _colours() -> bool:
    """Whether standard output is a terminal that wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
