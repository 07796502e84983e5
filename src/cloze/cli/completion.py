"""Shell completion of commands, groups, options, keys, values and files, fast enough for interactive use.

`cloze-train --completion bash` prints what the shell has to run; from then on it asks `cloze-train --complete` with the
line up to the cursor. Nothing is imported but the outline of the configuration.
"""

import os
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args, get_origin

from cloze.cli.words import OWN, SHOWN, VALUES
from cloze.config.arguments import FLAGS, conf_folder
from cloze.config.fitting import fitting, misfit
from cloze.config.keys import nearest
from cloze.config.outline import Entry, Outline, outline
from cloze.config.spelling import is_path
from cloze.config.validation import alternatives
from cloze.errors import InputError

SHELLS = ("bash", "zsh", "fish")
ASK = "--complete"
LINE = "CLOZE_LINE"
"""The variable of the environment with the line up to the cursor."""

SCRIPTS = Path(__file__).parent / "completions"
SIGNS_OF_THE_SHELL = re.compile(r"[\s'\"()&;|<>$`\\*?!#]")


class Candidate(NamedTuple):
    """A word that may stand there.

    Attributes:
        text: the whole word.
        line: what it is.
    """

    text: str
    line: str = ""


def script(shell: str) -> str:
    """What a shell has to run.

    Raises:
        InputError: completion is not for this shell.
    """
    if shell not in SHELLS:
        raise InputError(f"--completion is '{shell}', but must be one of {', '.join(SHELLS)}{nearest(shell, SHELLS)}")
    return (SCRIPTS / f"cloze.{shell}").read_text(encoding="utf-8").rstrip()


def answer(name: str, schema: type, shell: str, line: str) -> str:
    """The candidates for the last word of a line, one a line; for zsh and fish with what they are behind a tab.

    Args:
        name: of the root configuration.
        schema: of it.
        shell: one of `SHELLS`.
        line: of the prompt, up to the cursor.
    """
    words, current, kept = split(line)
    found = sorted(set(candidates(name, schema, words, current)))
    if shell == "bash":  # which takes each sign of COMP_WORDBREAKS for the beginning of a word
        quoted = line.count("'") % 2 or line.count('"') % 2
        ends = [candidate.text[kept:] for candidate in found]
        return "\n".join(ends if quoted else [SIGNS_OF_THE_SHELL.sub(r"\\\g<0>", end) for end in ends])
    return "\n".join(f"{text}\t{meaning}" if meaning else text for text, meaning in found)


def split(line: str) -> tuple[list[str], str, int]:
    """The finished words of a line, the one that is being typed, both without quotes; and how much of that stays.

    >>> split("cloze-train model=mini corpus.files='a b")
    (['cloze-train', 'model=mini'], 'corpus.files=a b', 13)
    """
    words: list[str] = []
    current, quote, kept, begun, position = "", "", 0, False, 0
    while position < len(line):
        sign = line[position]
        if quote:
            current, quote = (current, "") if sign == quote else (current + sign, quote)
        elif sign in "'\"":
            quote, begun, kept = sign, True, len(current)
        elif sign == "\\" and position + 1 < len(line):
            position += 1
            current, begun = current + line[position], True
        elif sign.isspace():
            if begun:
                words.append(current)
            current, begun, kept = "", False, 0
        else:
            current, begun = current + sign, True
            kept = len(current) if sign in "=:" else kept
        position += 1
    return words, current, kept


def candidates(name: str, schema: type, words: Sequence[str], current: str) -> Iterator[Candidate]:
    """All words that begin with `current`, behind the finished ones."""
    behind = words[-1] if words else ""
    if behind in VALUES:
        yield from _beginning(current, VALUES[behind])
        return
    if behind == "--completion":
        yield from _beginning(current, SHELLS)
        return
    if FLAGS.get(behind):
        yield from _paths(current, "", folders=True)
        return
    found = outline(conf_folder(), name, schema, words)
    topic = behind in ("--help", "-h")
    if current.startswith("-"):
        yield from _beginning(current, (flag for flag in SHOWN if name in OWN.get(flag, (name,))))
        return
    signs = current[: len(current) - len(current.lstrip("+~"))]
    key, sign, value = current[len(signs) :].partition("=")
    if sign:
        yield from _values(found, key, value, f"{signs}{key}=")
    else:
        yield from _keys(found, key, signs, topic=topic)


def _keys(found: Outline, begun: str, signs: str, *, topic: bool) -> Iterator[Candidate]:
    """Groups, sections and keys; of nested ones those of the section that has been typed."""
    section = begun.rpartition(".")[0]
    end = "" if topic or signs == "~" else "="
    if not section:
        for group, line in found.groups.items():
            if group.startswith(begun):
                yield Candidate(f"{signs}{group}{end}", line)
    for entry in found.entries(section):
        if entry.key.startswith(begun):
            yield Candidate(f"{signs}{entry.key}{'.' if entry.is_section else end}", entry.meaning)


def _values(found: Outline, key: str, begun: str, prefix: str) -> Iterator[Candidate]:
    if key in found.groups:
        before, comma, last = begun.rpartition(",")
        options = [option for option in fitting(found, key) if option.startswith(last)]
        for option, line in found.option_lines(key, options).items():
            yield Candidate(f"{prefix}{before}{comma}{option}", line)
        if key == "model" and not misfit(found, key, "folder"):
            yield from _paths(begun, prefix, folders=True)
        return
    entry = found.entry(key)
    if entry is None:
        return
    for value in _choices(entry):
        if value.startswith(begun):
            yield Candidate(f"{prefix}{value}")
    if is_path(entry):
        yield from _paths(begun, prefix)


def _choices(entry: Entry) -> Iterator[str]:
    """The values of a type that has few."""
    for hint in alternatives(entry.hint):
        if get_origin(hint) is Literal:
            yield from map(str, get_args(hint))
        elif hint is bool:
            yield from ("false", "true")
        elif hint is types.NoneType:
            yield "null"


def _paths(begun: str, prefix: str, *, folders: bool = False) -> Iterator[Candidate]:
    """Files and folders whose path begins so; folders end in a slash."""
    above, slash, name = begun.rpartition("/")
    try:
        with os.scandir(Path(f"{above}{slash}" or ".").expanduser()) as inner:
            for item in inner:
                if item.name.startswith(name) and (name or not item.name.startswith(".")):
                    if item.is_dir():
                        yield Candidate(f"{prefix}{above}{slash}{item.name}/")
                    elif not folders:
                        yield Candidate(f"{prefix}{above}{slash}{item.name}")
    except OSError:
        return


def _beginning(begun: str, words: Iterable[str]) -> Iterator[Candidate]:
    return (Candidate(word) for word in words if word.startswith(begun))
