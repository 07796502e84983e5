"""Validate every key and value of a composed configuration against typed signatures, before any work.

Hydra itself would pass a misspelt `+optimizer.weigth_decay=0.1` on, and a wrong type would fail deep inside. Here the
signatures that `_target_` names are the schema: what is in none of them, or has another type, is one clear sentence.
"""

import inspect
import keyword
import math
import pathlib
import types
import typing
from collections import abc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from cloze.config.annotations import Foreign
from cloze.config.keys import join, nearest, suggestion
from cloze.config.nodes import HYDRA_KEYS, Node, Root, locate
from cloze.config.signatures import Signature
from cloze.config.targets import Unknown, inspected, light_part, section_of, signature_of
from cloze.errors import InputError

Known = Callable[[], list[str]]
R = TypeVar("R", bound=Root)
C = TypeVar("C")

MISSING = "???"
LARGEST = 2**63 - 1
STAND_INS: dict[Any, Any] = {int: 1}
"""For what only the program will know, as the size of the vocabulary: values that no constructor refuses."""

NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
    object: "anything",
    pathlib.Path: "a path",
    Any: "anything",
    Unknown: "anything",
}
ANYTHING = (Any, object, Unknown)


class MissingError(InputError):
    """A value that has to be given is not."""


def check(config: Mapping[str, Any], schema: type[R]) -> R:
    """The root with every value checked, and whole floats turned into int where an int is meant (`1e9`).

    Args:
        config: the composed configuration as plain containers, interpolations resolved.
        schema: the dataclass of the root.

    Raises:
        InputError: naming the first key that is unknown, missing or ill-typed, and the nearest valid one.
    """
    root: Callable[..., R] = schema
    signature = inspected(root)
    plain = _check_arguments(config, signature, "", lambda: list(keys_of(config, signature)))
    return _try(root, {**_objects(plain, signature, ""), "_plain": plain}, "")


def checked_arguments(
    arguments: Mapping[str, Any], target: type, key: str, *, given: Collection[str] = ()
) -> dict[str, Any]:
    """Plain arguments of a class, every value checked.

    Args:
        arguments: by name, without a node in them.
        target: the class.
        key: before their names in messages.
        given: arguments that only the program knows.

    Raises:
        InputError: as `check`.
    """
    signature = inspected(target)
    own = replace(signature, arguments={name: a for name, a in signature.arguments.items() if name not in given})
    checked = _check_arguments({**arguments, "_partial_": True}, own, key, list)
    return {_parameter(name): value for name, value in checked.items() if name not in HYDRA_KEYS}


def _check_arguments(
    config: Mapping[str, Any], signature: Signature, key: str, known: Known, placed: Collection[str] = ()
) -> dict[str, Any]:
    """The keys and values of one mapping against a signature.

    Args:
        config: the mapping.
        signature: what it may hold.
        key: of the mapping.
        known: tells all dotted keys there are.
        placed: arguments that have their values by position.
    """
    arguments = signature.arguments
    for name in config:
        if name not in HYDRA_KEYS and not signature.takes(name):
            raise InputError(f"unknown key '{join(key, name)}'{suggestion(name, key, set(arguments), known())}")
    checked = {
        name: value if name in HYDRA_KEYS else _check_value(value, Any, join(key, name), known)
        for name, value in config.items()
        if name not in arguments
    }
    for name, argument in arguments.items():
        if name in config:
            checked[name] = _check_value(config[name], argument.hint, join(key, name), known)
        elif argument.default is None and name not in placed and not config.get("_partial_", False):
            if "_target_" in config and _is_object(argument.hint):
                raise InputError(
                    f"{key}._partial_ must be true: '{name}' of {config['_target_']} is known only in a run"
                )
            raise MissingError(f"the key '{join(key, name)}' is missing: add {join(key, name)}=...")
    return checked


def _check_node(config: Mapping[str, Any], key: str, known: Known) -> dict[str, Any]:
    """A mapping with `_target_`; what the constructor refuses is reported now where calling it costs nothing."""
    target = config["_target_"]
    if not isinstance(target, str):
        raise InputError(f"{key}._target_ is {target!r}, but must be the dotted name of a class or function")
    signature = signature_of(target, key)
    values = _check_positions(config, signature, key, known)
    placed = [argument.key for argument, _ in zip(signature.positional, values, strict=False)]
    checked = _check_arguments(config, signature, key, known, placed)
    if values:
        checked["_args_"] = values
    if (light := light_part(target)) is not None:
        taken = signature if light == target else signature_of(light, key)
        stated = checked if light == target else {name: checked[name] for name in taken.arguments if name in checked}
        lacking = [a for name, a in taken.arguments.items() if a.default is None and name not in {*stated, *placed}]
        holds_nodes = any(isinstance(value, Mapping) and "_target_" in value for value in stated.values())
        if not holds_nodes and all(argument.hint in STAND_INS for argument in lacking):
            stand_ins = {argument.key: STAND_INS[argument.hint] for argument in lacking}
            _try(locate(light, key), {**stand_ins, **stated}, key)
    return checked


def _check_positions(config: Mapping[str, Any], signature: Signature, key: str, known: Known) -> list[Any]:
    """The values by position, which Hydra takes as the list `_args_`."""
    values, place, named = config.get("_args_", []), join(key, "_args_"), signature.positional
    if not isinstance(values, list):
        raise InputError(f"{place} is {values!r}, but must be a list: the arguments by position")
    if len(values) > len(named) and signature.rest is None:
        taken = ", ".join(argument.key for argument in named) or "none"
        raise InputError(f"{place} has {len(values)} arguments by position, but {config['_target_']} takes: {taken}")
    checked = []
    for number, value in enumerate(values):
        argument = named[number] if number < len(named) else signature.rest
        assert argument is not None
        if argument.key in config:
            raise InputError(f"{place} and {join(key, argument.key)} both set {argument.key}: leave one of them out")
        checked.append(_check_value(value, argument.hint, f"{place}[{number}] ({argument.key})", known))
    return checked


def _objects(plain: Mapping[str, Any], signature: Signature, key: str) -> dict[str, Any]:
    """The checked values of a section, with nodes and sections as objects."""
    hints = {name: argument.hint for name, argument in signature.arguments.items()}
    return {name: _object(value, hints[name], join(key, name)) for name, value in plain.items()}


def _object(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, list):
        elements = (get_args(one) for one in alternatives(hint) if get_origin(one) is list)
        element = next((found[0] for found in elements if found), Any)
        return [_object(item, element, f"{key}[{number}]") for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if "_target_" in value:
        return Node(key, value)
    for alternative in alternatives(hint):
        if (signature := section_of(alternative)) is not None:
            return _try(alternative, _objects(value, signature, key), key)
        if (get_origin(alternative) or alternative) is dict:
            element = (*get_args(alternative), Any, Any)[1]
            return {name: _object(item, element, join(key, name)) for name, item in value.items()}
    return value


def _try(constructor: Callable[..., C], checked: Mapping[str, Any], key: str) -> C:
    """Call a constructor, whose refusal names the key."""
    arguments = {_parameter(name): value for name, value in checked.items() if name not in HYDRA_KEYS}
    try:
        return constructor(*checked.get("_args_", ()), **arguments)
    except ValueError as error:
        raise InputError(f"{key}: {error}" if key else str(error)) from error


def _check_value(value: Any, hint: Any, key: str, known: Known) -> Any:
    if value == MISSING:
        raise MissingError(f"the key '{key}' has no value: add {key}=...")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{key} is {value}, but must be a whole number of at most 63 bits")
    if isinstance(value, Mapping) and "_target_" in value:
        return _check_node(value, key, known)
    for alternative in alternatives(hint):
        matches, converted = _match(value, alternative, key, known)
        if matches:
            return converted
    if isinstance(value, Mapping):
        raise InputError(f"'{key}' is a section, but must be {described(hint)}")
    options = [str(option) for option in get_args(hint)] if get_origin(hint) is Literal else []
    raise InputError(
        f"{key} is {value!r}, but must be {described(hint)}" + (nearest(str(value), options) if options else "")
    )


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Those of a union, or the hint alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _match(value: Any, hint: Any, key: str, known: Known) -> tuple[bool, Any]:
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
    return hint in ANYTHING or isinstance(hint, typing.TypeVar), value


def _match_section(value: Mapping[str, Any], hint: Any, key: str, known: Known) -> tuple[bool, Any]:
    """A mapping without `_target_`: the fields of a dataclass, or a dictionary of values or nodes."""
    if (signature := section_of(hint)) is not None:
        checked = _check_arguments(value, signature, key, known)
        if not issubclass(hint, Foreign):
            _try(hint, checked, key)
        return True, checked
    if (get_origin(hint) or hint) not in (dict, abc.Mapping, *ANYTHING):
        return False, value
    element = get_args(hint)[1] if get_args(hint) else Any
    return True, {name: _check_value(item, element, join(key, name), known) for name, item in value.items()}


def _match_items(value: Sequence[Any], hint: Any, key: str, known: Known) -> tuple[bool, Any]:
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
        whole = number and float(value).is_integer()
        return whole, int(value) if whole else value
    if kind is float:
        return number and math.isfinite(value), value
    if kind is str:
        return isinstance(value, str) or number, str(value)  # run=2024 is a name too
    if issubclass(kind, pathlib.PurePath):
        return isinstance(value, str | pathlib.PurePath), value
    return isinstance(value, kind), value


def described(hint: Any) -> str:
    """What a hint asks for, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        plain = [argument for argument in arguments if not _is_object(argument)]  # a number rather than a tensor
        return " or ".join(dict.fromkeys(described(argument) for argument in plain or arguments))
    if origin is Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)} values"
    if origin is Node:
        return "a node with a _target_: the class that it configures"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a section"
    if inspect.isclass(origin) and issubclass(origin, abc.Iterable):
        return "a list" if not arguments else f"a list, each {described(arguments[0])}"
    if (section := section_of(hint)) is not None:
        return f"a section with keys of its own ({', '.join(section.arguments)})"
    return NAMES.get(hint, f"a node with the _target_ of a {getattr(hint, '__name__', hint)}")


def _parameter(key: str) -> str:
    """The argument of a key: `from_` for the word `from`, which Python keeps for itself."""
    return f"{key}_" if keyword.iskeyword(key) else key


def _is_object(hint: Any) -> bool:
    """Whether a hint wants an object which no plain value can be, as a tensor."""
    plain = ("builtins", "collections.abc", "pathlib", Node.__module__)
    return inspect.isclass(hint) and hint.__module__ not in plain and section_of(hint) is None


def keys_of(config: Mapping[str, Any], signature: Signature | None, key: str = "") -> Iterator[str]:
    """Every dotted key that may be set: those that the configuration states, and those that signatures have besides."""
    arguments = {} if signature is None else dict(signature.arguments)
    for name in dict.fromkeys([*config, *arguments]):
        if name in HYDRA_KEYS:
            continue
        yield join(key, name)
        value = config.get(name)
        if isinstance(value, Mapping):
            target = value.get("_target_")
            hint = arguments[name].hint if name in arguments else Any
            sections = filter(None, map(section_of, alternatives(hint)))
            inner = signature_of(target, join(key, name)) if isinstance(target, str) else next(sections, None)
            yield from keys_of(value, inner, join(key, name))
