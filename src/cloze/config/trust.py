"""Packages of the user that a command trusts: `trust=my_package`.

Who makes a model folder does not choose what runs here. A folder names classes; those of `cloze` are built, and those
of a package that the command names.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from cloze.errors import InputError

PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
MAX_PATH = 200
"""Characters of an import path."""


def import_packages(trust: str | Sequence[str] | None) -> tuple[str, ...]:
    """Import the packages that a command trusts, so that what registers itself in them is known; returns their names.

    Raises:
        InputError: a name is not that of a package, or there is none of that name.
    """
    names = () if trust is None else (trust,) if isinstance(trust, str) else tuple(trust)
    for name in names:
        if not is_path(name):
            raise InputError(f"trust={name}: must be the name of a package, as my_package, or several, as [a,b]")
        if _imported(name) is None:
            raise InputError(
                f"trust={name}: there is no such package; install it, or set PYTHONPATH to the folder that it is in"
            )
    return names


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            return None
        raise InputError(f"{name} needs the package {error.name}, which is not installed") from error


def trusted_class(path: str, trust: Sequence[str], fits: Callable[[type], bool], *, source: str, kind: str) -> type:
    """The class of an import path, which a file of somebody else's may have named.

    Nothing is imported before it is known that the package is trusted. Classes of cloze are in a table of its own, see
    `cloze.inference.rebuild`; another name in `cloze` is refused.

    Args:
        path: ends with the name of a class at the top level of its module.
        trust: names of packages.
        fits: whether it is a class of the kind that is expected.
        source: the file and the key that names it, for messages.
        kind: what is expected, for messages: `features`.

    Raises:
        InputError: the package is not trusted, or there is no such class in it.
    """
    module, _, name = path.rpartition(".")
    if len(path) > MAX_PATH or not module or not is_path(path):
        raise InputError(f"{source} asks for {path!r:.60}, but must be the import path of a class")
    package = path.partition(".")[0]
    if package != "cloze" and not any(f"{module}.".startswith(f"{name}.") for name in trust):
        raise InputError(
            f"{source} asks for the class {path} of the package {package}, but only classes of cloze are built from a "
            f"model folder: where you trust that package, add trust={package}"
        )
    found: Any = None if package == "cloze" else getattr(_imported(module), "__dict__", {}).get(name)
    if not isinstance(found, type) or inspect.isabstract(found) or not fits(found):
        raise InputError(f"{source} asks for {path}, which is no class of {kind}: get the folder from another source")
    return found


def is_path(name: str) -> bool:
    """Whether it is a dotted name."""
    return PACKAGE.fullmatch(name) is not None
