"""Typed configuration objects: roots with sections, and nodes that build the object of a `_target_`."""

import builtins
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

from cloze.errors import InputError
from cloze.runtime.redaction import masked

T = TypeVar("T", covariant=True)

HYDRA_KEYS = frozenset({"_target_", "_args_", "_partial_", "_convert_", "_recursive_"})


@dataclass(frozen=True, kw_only=True)
class Root:
    """The base of every root: a checked configuration, whose sections are objects."""

    _plain: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def plain(self) -> Mapping[str, Any]:
        """All of it as plain containers, as it was stated."""
        return self._plain

    @property
    def recorded(self) -> dict[str, Any]:
        """`plain` with `***` for every secret: what a run leaves behind, and what it is compared by."""
        return dict(masked(self.plain))

    def with_(self, **sections: Any) -> Self:
        """With other sections in place of those of these names; `plain` states what differs."""
        changed = {name: _plain(getattr(self, name), new, self.plain.get(name)) for name, new in sections.items()}
        return replace(self, **sections, _plain={**self.plain, **changed})


def _plain(old: Any, new: Any, stated: Any) -> Any:
    """The plain value of `new`, which has replaced `old`; a section states what it stated, and what differs."""
    if isinstance(new, Node):
        return new.plain
    if isinstance(new, Mapping):
        return {name: _plain(None, value, None) for name, value in new.items()}
    if not is_dataclass(new):
        return new
    stated = stated or {}
    values = {one.name: (getattr(old, one.name), getattr(new, one.name)) for one in fields(new)}
    return {**stated, **{name: _plain(*pair, stated.get(name)) for name, pair in values.items() if pair[0] != pair[1]}}


@dataclass(frozen=True, eq=False)
class Node(Generic[T]):
    """A mapping with `_target_`, checked against the signature of the constructor that it names; not yet built.

    Attributes:
        key: where it stands, dotted.
        plain: the mapping, as plain containers.
    """

    key: str
    plain: Mapping[str, Any]

    @property
    def target(self) -> str:
        """The dotted name of the class or function."""
        return str(self.plain["_target_"])

    @property
    def arguments(self) -> dict[str, Any]:
        """What the configuration states for the constructor, as plain containers."""
        return {name: value for name, value in self.plain.items() if name not in HYDRA_KEYS}

    def with_(self, **arguments: Any) -> Self:
        """With other arguments in place of those of these names."""
        return replace(self, plain={**self.plain, **arguments})

    @cached_property
    def type(self) -> Callable[..., T]:
        """The class or function itself.

        Raises:
            InputError: it cannot be imported.
        """
        return locate(self.target, self.key)

    @property
    def class_(self) -> "builtins.type[T]":
        """The class, where it has to be one.

        Raises:
            InputError: it is none.
        """
        if not inspect.isclass(self.type):
            raise InputError(f"{self.key}._target_ is '{self.target}', but must be a class")
        return self.type  # type: ignore[return-value]  # narrowed to a class, of anything

    def build(self, **arguments: Any) -> T:
        """The object, with plain containers inside.

        Args:
            arguments: what is known at run time only; for a node with `_partial_`.

        Raises:
            InputError: a constructor refuses a value.
        """
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            built = instantiate(self.plain, _convert_="all")
            return built(**arguments) if arguments else built  # type: ignore[no-any-return]
        except (InstantiationException, ValueError, TypeError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, InputError):
                raise cause from None
            # By a constructor with **kwargs; the keys of others were checked.
            handed_on = "unexpected keyword argument" in str(cause)
            if isinstance(cause, ValueError) or (handed_on and not self.target.startswith("cloze.")):
                raise InputError(f"{self.key}: {cause}") from error
            raise


def locate(path: str, key: str) -> Callable[..., Any]:
    """The class or function that a `_target_` names.

    Raises:
        InputError: when it cannot be imported.
    """
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name in [".".join(parts[:size]) for size in range(2, end + 1)]:
                continue  # the tail may be a class with a method: try a shorter module
            raise InputError(f"'{key}' needs the package '{error.name}', which is not installed") from error
        for part in parts[end:]:
            found = getattr(found, part, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
        break
    raise InputError(f"{key}._target_ is '{path}', but there is no such class or function")
