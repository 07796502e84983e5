"""Every key and value of a composed configuration against the typed signatures it is meant for, before any work.

Hydra itself would pass a misspelt `+optimizer.weigth_decay=0.1` on, and a wrong type would fail deep inside. Here the
signatures that `_target_` names are the schema: what is in none of them, or has another type, is one clear sentence.
"""

import dataclasses
import difflib
import importlib
import inspect
import keyword
import math
import pathlib
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from cloze.config.sections import Node
from cloze.errors import InputError

HYDRA_KEYS = frozenset({"_target_", "_partial_", "_convert_", "_recursive_"})
MISSING = "???"
LARGEST = 2**63 - 1
NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
    pathlib.Path: "a path",
    Any: "anything",
}


def check(config: Mapping[str, Any], schema: type) -> dict[str, Any]:
    """The configuration with every value checked, and whole floats turned into int where an int is meant (`1e9`).

    Args:
        config: the composed configuration as plain containers, interpolations resolved.
        schema: a dataclass with the fields of the root.

    Raises:
        InputError: naming the first key that is unknown, missing or ill-typed, and the nearest valid one.
    """
    return _check_arguments(config, schema, key="", known=list(_dotted(config)))


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something in `valid` is like `name`, else the list of what is valid."""
    names = sorted(valid)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean '{close[0]}'?"
    return f"; valid here: {', '.join(names)}" if names else ""


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


def _check_arguments(
    config: Mapping[str, Any], target: Callable[..., Any], key: str, known: list[str]
) -> dict[str, Any]:
    """The keys and values of one mapping against the signature of `target`; `known` are all dotted keys there are."""
    parameters = inspect.signature(target).parameters
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    spelt = {_key(name): name for name, parameter in parameters.items() if parameter.kind in kinds}
    named = set(spelt)
    hints = _hints(target)
    for name in config:
        if name not in named | HYDRA_KEYS:
            raise InputError(f"unknown key '{_join(key, name)}'{_suggestion(name, key, named, known)}")
    checked = {name: value for name, value in config.items() if name in HYDRA_KEYS}
    for name, parameter in spelt.items():  # in the signature's order: light sections come first
        if name in config:
            checked[name] = _check_value(config[name], hints.get(parameter, Any), _join(key, name), known)
        elif parameters[parameter].default is inspect.Parameter.empty and not config.get("_partial_", False):
            raise InputError(f"the key '{_join(key, name)}' is missing: add {_join(key, name)}=...")
    return checked


def _check_value(value: Any, hint: Any, key: str, known: list[str]) -> Any:
    if value == MISSING:
        raise InputError(f"the key '{key}' has no value: add {key}=...")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{key} is {value}, but must be a whole number of at most 63 bits")
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, Mapping) and "_target_" in value:
        return _check_arguments(value, locate(value["_target_"], key), key, known)
    for alternative in alternatives:
        matches, converted = _match(value, alternative, key, known)
        if matches:
            return converted
    if isinstance(value, Mapping):
        raise InputError(f"'{key}' is a section, but must be {_describe(hint)}")
    options = [str(option) for option in get_args(hint)] if get_origin(hint) is Literal else []
    raise InputError(
        f"{key} is {value!r}, but must be {_describe(hint)}" + (nearest(str(value), options) if options else "")
    )


def _match(value: Any, hint: Any, key: str, known: list[str]) -> tuple[bool, Any]:
    """Whether a value fits one alternative of a hint, and the value as that alternative wants it."""
    origin = get_origin(hint) or hint
    if isinstance(value, Mapping):
        return _match_section(value, hint, key, known)
    if origin is Literal:
        return value in get_args(hint), value
    if origin in (int, float, bool, str, types.NoneType, pathlib.Path, pathlib.PurePath):
        return _match_scalar(value, origin)
    if inspect.isclass(origin) and issubclass(origin, abc.Iterable) and not issubclass(origin, Mapping):
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False, value
        return _match_items(value, hint, key, known)
    # Any other class (a tensor, a protocol) comes as a node with its own _target_; a plain value cannot be one.
    return hint in (Any, object) or isinstance(hint, typing.TypeVar), value


def _match_section(value: Mapping[str, Any], hint: Any, key: str, known: list[str]) -> tuple[bool, Any]:
    """A mapping without `_target_`: the fields of a dataclass, or a dictionary of values or nodes."""
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint):
        return True, _check_arguments(value, hint, key, known)
    if (get_origin(hint) or hint) not in (dict, abc.Mapping, Any, object):
        return False, value
    element = get_args(hint)[1] if get_args(hint) else Any
    return True, {name: _check_value(item, element, _join(key, name), known) for name, item in value.items()}


def _match_items(value: Sequence[Any], hint: Any, key: str, known: list[str]) -> tuple[bool, Any]:
    arguments = get_args(hint)
    if get_origin(hint) is tuple and Ellipsis not in arguments:
        if len(arguments) != len(value):
            return False, value
        return True, [
            _check_value(v, h, f"{key}[{i}]", known) for i, (v, h) in enumerate(zip(value, arguments, strict=True))
        ]
    element = arguments[0] if arguments else Any
    return True, [_check_value(v, element, f"{key}[{i}]", known) for i, v in enumerate(value)]


def _match_scalar(value: Any, kind: type) -> tuple[bool, Any]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return number and float(value).is_integer(), _whole(value)
    if kind is float:
        return number and math.isfinite(value), value
    if kind is str:
        return isinstance(value, str) or number, str(value)  # run=2024 is a name too
    if issubclass(kind, pathlib.PurePath):
        return isinstance(value, str | pathlib.PurePath), value
    return isinstance(value, kind), value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_describe(argument) for argument in arguments))
    if origin is Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)} values"
    if hint is Node:
        return "a node with a _target_: the class that it configures"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a section"
    if inspect.isclass(origin) and issubclass(origin, abc.Iterable):
        return "a list" if not arguments else f"a list, each {_describe(arguments[0])}"
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint):
        return f"a section with keys of its own, as {hint.__name__} has"
    return NAMES.get(hint, f"a node with the _target_ of a {getattr(hint, '__name__', hint)}")


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}  # names imported for the type checker only: the keys are still checked


def _suggestion(name: str, key: str, named: set[str], known: list[str]) -> str:
    """The nearest sibling, else the same name in another section, else what is valid here."""
    if not difflib.get_close_matches(name, named, n=1):
        elsewhere = [path for path in known if path.rpartition(".")[2] == name and path != _join(key, name)]
        if elsewhere:
            return f"; did you mean '{elsewhere[0]}'?"
    return nearest(_join(key, name), (_join(key, valid) for valid in named))


def _key(parameter: str) -> str:
    """The key of a parameter: its name; for `from_` the word `from`, which Python keeps for itself."""
    bare = parameter.removesuffix("_")
    return bare if keyword.iskeyword(bare) else parameter


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _dotted(config: Mapping[str, Any], key: str = "") -> Iterable[str]:
    for name, value in config.items():
        yield _join(key, name)
        if isinstance(value, Mapping):
            yield from _dotted(value, _join(key, name))
