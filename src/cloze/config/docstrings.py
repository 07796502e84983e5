"""Read the descriptions of arguments from Google-style docstrings (`Args` and `Attributes`)."""

import inspect
import re

HEAD = re.compile(r"(?:Args|Arguments|Attributes|Parameters):\s*")
ENTRY = re.compile(r"(?P<name>\*{0,2}\w+)\s*(?:\((?P<kind>.*?)\))?:(?:\s+(?P<text>.*))?")
MARKUP = re.compile(r":\w+:`(?:~?[\w.]*\.)?(\w+)`")
STATED_DEFAULT = re.compile(r"\s*\(default: [^()]*\)$")
SENTENCE = re.compile(r"(?<=[^.\s]\.)\s+(?=[A-Z`])")


def meanings(docstring: str | None) -> dict[str, str]:
    r"""The description of each argument in one line.

    >>> meanings("Mix.\n\nArgs:\n    rate: how much,\n        from 0 to 1.\n    seed (int): of it.")
    {'rate': 'how much, from 0 to 1.', 'seed': 'of it.'}
    """
    found: dict[str, list[str]] = {}
    inside, indent, name = False, 0, ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        width = len(line) - len(line.lstrip())
        if HEAD.fullmatch(line):
            inside, indent, name = True, 0, ""
        elif line.strip() and width == 0:
            inside = False
        elif inside and line.strip():
            indent = indent or width
            entry = ENTRY.match(line.strip()) if width <= indent else None
            if entry is not None:
                name = entry["name"]
                found[name] = [entry["text"] or ""]
            elif name:
                found[name].append(line.strip())
    return {name: _plain(" ".join(lines)) for name, lines in found.items()}


def opening(docstring: str | None) -> str:
    """Its first paragraph in one line."""
    return _plain(" ".join(inspect.cleandoc(docstring or "").partition("\n\n")[0].split()))


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends one, without it and without a default, which is shown next to it."""
    return STATED_DEFAULT.sub("", SENTENCE.split(text, maxsplit=1)[0].removesuffix("."))


def _plain(text: str) -> str:
    return MARKUP.sub(r"\1", text).replace("``", "`").replace("`_", "`").strip()
