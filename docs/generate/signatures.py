"""What a constructor takes: names, types, defaults and their lines in the docstring, read without running cloze."""

import importlib
import inspect
import re
from functools import cache
from typing import NamedTuple

import griffe

from docs.generate.python_pages import PACKAGE


class Argument(NamedTuple):
    """An argument of a constructor; `default` is None where it has to be given."""

    name: str
    type: str
    default: str | None
    meaning: str


@cache
def arguments(target: str) -> list[Argument]:
    """Those of the class or function with this dotted path, inherited ones first.

    Of other packages' ones only names, types and defaults are told.

    Raises:
        KeyError: cloze has no such class or function.
    """
    if not target.startswith("cloze."):
        return _imported(target)
    found = _package()[target.removeprefix("cloze.")]
    if found.is_alias:
        found = found.final_target
    if isinstance(found, griffe.Class):
        chain = [*reversed(found.mro()), found]
        merged: dict[str, Argument] = {}
        for parent in chain:
            meanings = _meanings(parent)
            if "__init__" in parent.members:
                meanings |= _meanings(parent["__init__"])
            own = [_argument(parameter, meanings) for parameter in parent.parameters if parameter.name != "self"]
            merged |= {argument.name: _merged(argument, merged.get(argument.name)) for argument in own}
        taken = {parameter.name for parameter in found.parameters}
        return [argument for name, argument in merged.items() if name in taken]
    assert isinstance(found, griffe.Function)
    return [_argument(parameter, _meanings(found)) for parameter in found.parameters]


def meaning(target: str) -> str:
    """The first paragraph of its docstring, or nothing."""
    if not target.startswith("cloze."):
        return ""
    docstring = _package()[target.removeprefix("cloze.")].docstring
    return docstring.value.split("\n\n")[0].replace("\n", " ") if docstring else ""


@cache
def _package() -> griffe.Module:
    found = griffe.load("cloze", search_paths=[PACKAGE.parent], resolve_aliases=True, resolve_external=False)
    assert isinstance(found, griffe.Module)
    return found


def _argument(parameter: griffe.Parameter, meanings: dict[str, str]) -> Argument:
    default = None if parameter.default is None else str(parameter.default)
    factory = re.fullmatch(r"field\(default_factory=(\w+)\)", default or "")
    if factory:
        default = f"{factory[1]}()"
    name = parameter.name.removesuffix("_")
    return Argument(name, str(parameter.annotation or ""), default, meanings.get(parameter.name, ""))


def _merged(argument: Argument, inherited: Argument | None) -> Argument:
    return argument if argument.meaning or inherited is None else argument._replace(meaning=inherited.meaning)


def _meanings(described: griffe.Object | griffe.Alias) -> dict[str, str]:
    if described.docstring is None:
        return {}
    kinds = (griffe.DocstringSectionKind.attributes, griffe.DocstringSectionKind.parameters)
    sections = [section for section in described.docstring.parse("google", warnings=False) if section.kind in kinds]
    return {item.name: " ".join(item.description.split()) for section in sections for item in section.value}


def _imported(target: str) -> list[Argument]:
    module, _, name = target.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    return [
        Argument(
            parameter.name,
            "" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation),
            None if parameter.default is parameter.empty else repr(parameter.default),
            "",
        )
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name != "params"
    ]
