"""Evaluate type annotations from their source text.

What the standard library defines is the real thing. A class of another package stays a name, for which a class without
content stands: enough to say that a value cannot be one, and what it was meant to be.
"""

import ast
import builtins
import importlib
import sys
import types
from functools import cache
from typing import Annotated, Any, Union

from cloze.config.source import Definition, Found, Module, imported_as, is_light, lookup, resolve

TYPES = frozenset(
    {"bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "set", "str", "tuple", "type"}
)


class Foreign:
    """Stands for a class that was not imported. Subclasses carry its name and where it is defined.

    Attributes:
        found: its definition, where one was found.
    """

    found: Found | None = None


def meant(annotation: ast.expr | None, module: Module) -> Any:
    """The type behind an annotation of a module, `Any` where there is none or it is unknown."""
    if annotation is None:
        return Any
    try:
        hint = _evaluated(annotation, module)
    except (TypeError, AttributeError, SyntaxError):
        return Any
    return types.NoneType if hint is None else hint


def _evaluated(node: ast.expr, module: Module) -> Any:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _evaluated(ast.parse(node.value, mode="eval").body, module)
        return node.value
    if isinstance(node, ast.Name):
        return _named(node.id, module)
    if isinstance(node, ast.Attribute):
        return _dotted(ast.unparse(node), module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_evaluated(node.left, module), _evaluated(node.right, module)]  # noqa: UP007 - also of texts
    if isinstance(node, ast.List):
        return [_evaluated(element, module) for element in node.elts]
    if isinstance(node, ast.Subscript):
        return _subscribed(node, module)
    return Any


def _subscribed(node: ast.Subscript, module: Module) -> Any:
    base = _evaluated(node.value, module)
    arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base is Annotated:
        return _evaluated(arguments[0], module)
    if base is Any or (isinstance(base, type) and issubclass(base, Foreign)):
        return base
    if getattr(base, "_name", None) == "Literal":
        return base[tuple(ast.literal_eval(argument) for argument in arguments)]
    evaluated = tuple(_evaluated(argument, module) for argument in arguments)
    return base[evaluated if len(evaluated) > 1 else evaluated[0]]


def _named(name: str, module: Module) -> Any:
    if name not in module.names and name in TYPES:
        return getattr(builtins, name)
    if dotted := imported_as(module, name):
        return _of_path(dotted)
    return _of_definition(lookup(module, name))


def _dotted(path: str, module: Module) -> Any:
    root, _, rest = path.partition(".")
    dotted = imported_as(module, root)
    return Any if dotted is None else _of_path(f"{dotted}.{rest}")


def _of_path(path: str) -> Any:
    """What a dotted name stands for as a type."""
    source, _, name = path.rpartition(".")
    if path.partition(".")[0] in sys.stdlib_module_names:
        return getattr(importlib.import_module(source), name)
    found = resolve(path)
    return _foreign(path, None) if found is None else _of_definition(found)


def _of_definition(found: Found | None) -> Any:
    if found is None:
        return Any
    if is_light(found.module.name):
        return getattr(importlib.import_module(found.module.name), found.name)
    if isinstance(found.node, ast.ClassDef):
        return _foreign(found.path, found)
    if isinstance(found.node, Definition | ast.Call):
        return Any  # a function is no type; a call makes one of its own, as TypeVar
    return _evaluated(found.node, found.module)


@cache
def _foreign(path: str, found: Found | None) -> type[Foreign]:
    return type(path.rpartition(".")[2], (Foreign,), {"found": found, "__module__": path.rpartition(".")[0]})
