"""`--help`: read from the comments in `conf/`, so that it costs no import and cannot disagree with the files."""

import re
from pathlib import Path

from cloze.config.arguments import groups

DEFAULT = re.compile(r"\s*- (?:override )?(?P<group>\w+): (?P<option>\S+)(?:\s*#\s*(?P<line>.*))?")
OPTIONS = """\
Options
  -m, --multirun        a sweep: every combination of the values with commas, as in -m model=tiny,mini
  --cfg job             print the composed configuration and stop; --resolve fills in the references
  --config-dir FOLDER   further groups and experiment files of your own
  --help                this page"""


def help_text(conf: Path, name: str) -> str:
    """What `conf/NAME.yaml` says about itself: its head comment, its groups with their options, its values.

    The head comment tells what the command does and gives examples. The comment behind a default is the group's line,
    the first line of an option's file the option's. The values are printed as they stand.
    """
    head, defaults, values = _sections((conf / f"{name}.yaml").read_text(encoding="utf-8"))
    options = groups(conf)
    lines = [*head, ""]
    chosen = list(filter(None, map(DEFAULT.match, defaults)))
    if chosen:
        lines.append("Groups: GROUP=OPTION, the default is marked with *")
    for match in chosen:
        lines.append(f"  {match['group']:<12} {match['line'] or ''}".rstrip())
        for option in options.get(match["group"], []):
            mark = "*" if option == match["option"] else " "
            lines.append(f"    {mark} {option:<22} {_first_comment(conf / match['group'] / f'{option}.yaml')}".rstrip())
    if chosen:
        lines.append("")
    lines.append("Values: KEY=VALUE, nested as SECTION.KEY=VALUE; those of the groups are in conf/GROUP/OPTION.yaml")
    lines += [f"  {line}".rstrip() for line in values]
    return "\n".join([*lines, "", OPTIONS])


def _sections(text: str) -> tuple[list[str], list[str], list[str]]:
    """The head comment, the lines of the defaults list, and the values up to the section `hydra`."""
    lines = text.splitlines()
    start = lines.index("defaults:")
    head = [line.removeprefix("#").removeprefix(" ") for line in lines[:start] if line.startswith("#")]
    end = next(i for i in range(start + 1, len(lines)) if lines[i] and not lines[i].startswith((" ", "-", "#")))
    stop = lines.index("hydra:") if "hydra:" in lines else len(lines)
    while lines[stop - 1].startswith("#") or not lines[stop - 1]:
        stop -= 1
    return head, lines[start + 1 : end], lines[end:stop]


def _first_comment(file: Path) -> str:
    """The first line that is for the reader; Hydra wants its own, `# @package`, before it."""
    with file.open(encoding="utf-8") as lines:
        first = next(line for line in lines if not line.startswith("# @package"))
    return first.removeprefix("#").strip() if first.startswith("#") else ""
