"""The distribution of this package: its name, and how to install it and its extras.

The name ``cloze`` belongs to another project on the Python Package Index. What reads metadata is imported
in the functions: it takes longer than an answer of completion may.
"""

import functools
import re
import shlex
from pathlib import Path
from typing import NamedTuple

VERSION = "0.1.0"
PACKAGE = "cloze"
CHECKOUT = Path(__file__).resolve().parents[3]
"""Where the package is used from a checkout; a folder of Python's own where it was installed."""
COMMAND = ("cloze-train", "cloze.cli.train:main")
"""A script that no other distribution has, and what it calls."""
UNKNOWN = "cloze-bert"
"""The name where nothing tells it: the package was copied without its metadata."""


class Other(NamedTuple):
    """A distribution that is not this one and whose package has the same name, or that takes its place.

    Attributes:
        name: of the distribution.
        version: of it.
        shadows: whether it brings a package ``cloze`` of its own.
    """

    name: str
    version: str
    shadows: bool


def name() -> str:
    """What ``pip`` calls this project: from ``pyproject.toml`` in a checkout, else from the metadata installed."""
    return _name(CHECKOUT)


def installation(extra: str = "") -> str:
    """The command that installs this project, or an extra of it, where it is used from.

    Args:
        extra: of ``pyproject.toml``; empty for the project alone.
    """
    wanted = f"[{extra}]" if extra else ""
    if not _is_checkout(CHECKOUT):
        return f"pip install {shlex.quote(name() + wanted)}"
    elsewhere = "" if Path.cwd() == CHECKOUT else f" in {shlex.quote(str(CHECKOUT))}"
    return f"pip install -e {shlex.quote('.' + wanted) if extra else '.'}{elsewhere}"


def others() -> list[Other]:
    """Further distributions that are called ``cloze``, or that bring a package of this name."""
    from importlib.metadata import distributions

    found = {}
    for one in distributions():
        called = one.metadata["Name"] or ""
        shadows = any(file.parts == (PACKAGE, "__init__.py") for file in one.files or ())
        if not is_ours(called) and (shadows or _normal(called) == PACKAGE):
            found[called, one.version] = Other(called, one.version, shadows)
    return list(found.values())


def is_ours(distribution: str) -> bool:
    """Whether this is a name of this project, however it is spelt (PEP 503)."""
    return _normal(distribution) == _normal(name())


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@functools.cache
def _name(checkout: Path) -> str:
    import tomllib
    from importlib.metadata import Distribution, entry_points

    if _is_checkout(checkout):
        return str(tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    script, calls = COMMAND
    found = [one.dist for one in entry_points(group="console_scripts", name=script) if one.value == calls]
    named = [one.metadata["Name"] for one in found if isinstance(one, Distribution)]
    return next(iter(named), UNKNOWN)


def _is_checkout(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file()
