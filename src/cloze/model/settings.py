"""Read values of ``config.json`` into the typed fields of a config class."""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

NAMED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}
"""What a value of a plain type is called."""


def fitted(value: Any, kind: Any) -> Any:
    """The value as the type has it; to JSON 32.0 is the same number as 32, and a tuple is a list.

    Args:
        value: what JSON can hold.
        kind: a plain type, a ``Literal``, or a list, a tuple, a mapping or a union of such.

    Raises:
        ValueError: it is none of that type; the message says what it must be, as 'a number'.
    """
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        for each in inner:
            try:
                return fitted(value, each)
            except ValueError:
                continue
    elif origin is Literal:
        if any(value == each and type(value) is type(each) for each in inner):
            return value
    elif origin in (list, tuple, Sequence):
        if isinstance(value, list | tuple):
            items = [fitted(item, inner[0]) for item in value] if inner else list(value)
            return tuple(items) if origin is tuple else items
    elif origin in (dict, Mapping):
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return {name: fitted(item, inner[1]) for name, item in value.items()} if inner else dict(value)
    elif kind in (int, float):
        if isinstance(value, int | float) and not isinstance(value, bool):
            whole = isinstance(value, int) or value.is_integer()
            if whole or kind is float:
                return int(value) if kind is int else value
            raise ValueError(NAMED[int])
        raise ValueError(NAMED[float])
    elif kind is Any or type(value) is kind:
        return value
    raise ValueError(meaning(kind))


def meaning(kind: Any) -> str:
    """What a value of a type is called: 'a list of text'."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(meaning(each) for each in inner)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    if origin in (list, tuple, Sequence):
        return f"a list of {meaning(inner[0]).removeprefix('a ')}" if inner else "a list"
    if origin in (dict, Mapping):
        return f"a section of {meaning(inner[1]).removeprefix('a ')}" if inner else "a section"
    return NAMED.get(kind, str(kind))
