"""The signature of a `_target_` as the schema of its node: from source, otherwise by import."""

import builtins
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cloze.config.annotations import Foreign
from cloze.config.docstrings import meanings, opening
from cloze.config.nodes import Node, locate
from cloze.config.signatures import (
    Argument,
    Signature,
    UnreadableError,
    is_dataclass,
    light_bases,
    read_signature,
    signature_from,
)
from cloze.config.source import is_light, resolve


@cache
def signature_of(target: str, key: str = "") -> Signature:
    """That of the class or function with a dotted path: read from its source, or, where that does not tell, imported.

    Raises:
        InputError: there is no such class or function.
    """
    found = resolve(target)
    try:
        if found is not None:
            return read_signature(found)
    except UnreadableError:
        pass
    return inspected(locate(target, key))


@cache
def light_part(target: str) -> str | None:
    """What of a class can be tried without importing torch: itself, or its nearest base that is a light dataclass.

    Settings that such a base refuses are refused at once, although the class itself needs torch.
    """
    if is_light(target.rpartition(".")[0]):
        return target
    found = resolve(target)
    return None if found is None else next((base.path for base in light_bases(found)), None)


@cache
def inspected(target: Callable[..., Any]) -> Signature:
    """That of a class or function which is at hand."""
    hints = _hints(target)
    told = dict(_inherited_meanings(target))
    kinds: list[list[Argument]] = [[] for _ in range(5)]  # in the order in which Python has them
    for name, parameter in inspect.signature(target).parameters.items():
        if name.startswith("_"):
            continue
        default = None if parameter.default is parameter.empty else _shown(parameter.default)
        kinds[parameter.kind].append(Argument(name, hints.get(name, Any), default, told.get(name, "")))
    by_position, either, rest, by_name, extra = kinds
    signature = signature_from([*either, *by_name], [*by_position, *either], *rest, extra=bool(extra))
    return replace(signature, meaning=opening(inspect.getdoc(target)))


def section_of(hint: Any) -> Signature | None:
    """That of the dataclass which stands for a section, or None where the hint is no such class."""
    hint = typing.get_origin(hint) or hint
    if isinstance(hint, type) and issubclass(hint, Foreign):
        found = hint.found
        return read_signature(found) if found is not None and is_dataclass(found.node) else None
    is_section = isinstance(hint, type) and hasattr(hint, "__dataclass_fields__") and hint is not Node
    return inspected(hint) if is_section else None


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    known = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return typing.get_type_hints(function, localns=_Lenient(known))
    except (NameError, TypeError, AttributeError):
        return {}  # the keys are still checked


class Unknown:
    """Stands for a class that is imported for the type checker only: any value may be meant."""

    def __class_getitem__(cls, _: Any) -> type["Unknown"]:
        return cls


class _Lenient(dict[str, Any]):
    """Names of a module, and `Unknown` for those that it imports for the type checker only."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, name: str) -> Any:
        if name in self._known or hasattr(builtins, name):
            raise KeyError(name)  # it is found there
        return Unknown


def _inherited_meanings(target: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    for part in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        yield from meanings(part.__doc__).items()
        if inspect.isclass(part) and isinstance(part.__dict__.get("__init__"), types.FunctionType):
            yield from meanings(part.__init__.__doc__).items()


def _shown(default: Any) -> str:
    factory = type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
    return "made again" if factory else default.__name__ if inspect.isclass(default) else repr(default)
