"""Read the signature of a constructor from source: names, types, defaults and descriptions of its arguments."""

import ast
import keyword
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cloze.config.annotations import meant
from cloze.config.docstrings import meanings, opening
from cloze.config.source import Definition, Found, Module, is_light, lookup

NO_CONSTRUCTOR = frozenset({"object", "Generic", "ABC", "Protocol"})
"""Bases of the standard library that bring no arguments."""


class UnreadableError(Exception):
    """Only running the code would tell."""


@dataclass(frozen=True)
class Argument:
    """One of a constructor's.

    Attributes:
        name: in Python.
        hint: its type.
        default: as the code states it; None where it must be given.
        meaning: its line in the docstring, or nothing.
    """

    name: str
    hint: Any = Any
    default: str | None = None
    meaning: str = ""

    @property
    def key(self) -> str:
        """Its name in a configuration: `from` for `from_`, since Python keeps that word for itself."""
        bare = self.name.removesuffix("_")
        return bare if keyword.iskeyword(bare) else self.name


@dataclass(frozen=True)
class Signature:
    """Of a class or a function.

    Attributes:
        arguments: by their keys, in their order.
        meaning: the first paragraph of the docstring.
        positional: those that a value by position goes to, in their order.
        rest: what further values by position go to; None where no more are taken.
        extra: whether any other key is taken, too (`**kwargs`).
    """

    arguments: Mapping[str, Argument]
    meaning: str = ""
    positional: Sequence[Argument] = ()
    rest: Argument | None = None
    extra: bool = False

    def takes(self, key: str) -> bool:
        """Whether a configuration may state the key."""
        return self.extra or key in self.arguments


def signature_from(
    by_name: Sequence[Argument],
    by_position: Sequence[Argument] | None,
    rest: Argument | None = None,
    *,
    extra: bool = False,
) -> Signature:
    """From the arguments of a constructor; by position, too, as by name where that is None."""
    positional = by_name if by_position is None else by_position
    return Signature({argument.key: argument for argument in by_name}, "", tuple(positional), rest, extra)


def read_signature(found: Found) -> Signature:
    """That of a definition, from its text.

    Raises:
        UnreadableError: a decorator, a metaclass or a base that is not to be found may have made another one of it.
    """
    module, node = found.module, found.node
    if isinstance(node, ast.ClassDef):
        return replace(_constructor(found), meaning=opening(_docstring(found)))
    if isinstance(node, Definition) and not node.decorator_list:
        told = ast.get_docstring(node)
        return replace(_parameters(node, module, meanings(told)), meaning=opening(told))
    if isinstance(node, ast.Name | ast.Attribute):  # another name for something
        other = lookup(module, node.id) if isinstance(node, ast.Name) else None
        if other is not None:
            return read_signature(other)
    raise UnreadableError(found.path)


def _constructor(found: Found) -> Signature:
    node, module = found.node, found.module
    assert isinstance(node, ast.ClassDef)
    told = meanings(_docstring(found))
    if is_dataclass(node):
        return _with_meanings(_fields(found), told)
    if node.decorator_list or node.keywords:  # a metaclass, or a decorator that may do anything
        raise UnreadableError(found.path)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in ("__init__", "__new__"):
            if statement.decorator_list:
                raise UnreadableError(found.path)
            own = told | meanings(ast.get_docstring(statement))
            signature = _parameters(statement, module, own, bound=1)
            return _with_meanings(signature, _base_meanings(found) | own)
    for base in _bases(found):
        if (inherited := _constructor(base)) != Signature({}):
            return _with_meanings(inherited, told)
    return Signature({})


def light_bases(found: Found) -> Iterator[Found]:
    """The dataclasses among the bases of a dataclass that need nothing but the standard library, nearest first."""
    try:
        bases = _bases(found) if is_dataclass(found.node) else []
    except UnreadableError:
        return
    yield from (base for base in bases if is_dataclass(base.node) and is_light(base.module.name))
    for base in bases:
        yield from light_bases(base)


def _fields(found: Found) -> Signature:
    """Of a dataclass: those of its bases, then its own; a field that is stated again keeps its place."""
    node = found.node
    assert isinstance(node, ast.ClassDef)
    fields: dict[str, Argument] = {}
    for base in reversed(_bases(found)):
        if is_dataclass(base.node):
            fields |= {argument.name: argument for argument in _constructor(base).arguments.values()}
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        hint = meant(statement.annotation, found.module)
        if hint is ClassVar or typing.get_origin(hint) is ClassVar:
            continue
        name, (default, taken) = statement.target.id, _field_default(statement.value, found.module)
        if taken:
            inherited = fields[name].meaning if name in fields else ""
            fields[name] = Argument(name, hint, default, inherited)
    return signature_from(list(fields.values()), () if "kw_only=True" in ast.unparse(node.decorator_list[0]) else None)


def _field_default(value: ast.expr | None, module: Module) -> tuple[str | None, bool]:
    """The default of a field as its text, and whether the constructor takes the field."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "field":
        stated = {word.arg: word.value for word in value.keywords}
        if "init" in stated and ast.unparse(stated["init"]) == "False":
            return None, False
        if "default" in stated:
            return module.text(stated["default"]), True
        if "default_factory" in stated:
            return _made(ast.unparse(stated["default_factory"])), True
        return None, True
    return (None if value is None else module.text(value)), True


def _parameters(node: Definition, module: Module, told: Mapping[str, str], bound: int = 0) -> Signature:
    """Of a function, without those that are `bound`, as `self`."""
    assert not isinstance(node, ast.ClassDef)
    known = node.args
    positional = [*known.posonlyargs, *known.args]
    defaults = [*[None] * (len(positional) - len(known.defaults)), *known.defaults, *known.kw_defaults]
    every = [
        Argument(
            argument.arg,
            meant(argument.annotation, module),
            None if default is None else module.text(default),
            told.get(argument.arg, ""),
        )
        for argument, default in zip([*positional, *known.kwonlyargs], defaults, strict=True)
    ]
    rest = None if known.vararg is None else Argument(known.vararg.arg, meant(known.vararg.annotation, module))
    by_name = every[max(bound, len(known.posonlyargs)) :]
    return signature_from(by_name, every[bound : len(positional)], rest, extra=known.kwarg is not None)


def _bases(found: Found) -> list[Found]:
    """The definitions of the classes that a class is derived from, without those that bring nothing."""
    node = found.node
    assert isinstance(node, ast.ClassDef)
    bases = []
    for expression in node.bases:
        bare = expression.value if isinstance(expression, ast.Subscript) else expression
        name = ast.unparse(bare)
        if name.rpartition(".")[2] in NO_CONSTRUCTOR:
            continue
        hint = meant(bare, found.module)
        base = lookup(found.module, name) if isinstance(bare, ast.Name) else getattr(hint, "found", None)
        if base is None or not isinstance(base.node, ast.ClassDef):
            raise UnreadableError(found.path)
        bases.append(base)
    return bases


def _base_meanings(found: Found) -> dict[str, str]:
    told: dict[str, str] = {}
    try:
        bases = _bases(found)
    except UnreadableError:  # the class has a constructor of its own: only what a base says of it is lost
        return told
    for base in bases:
        told |= _base_meanings(base) | meanings(_docstring(base)) | meanings(_docstring_of_init(base.node))
    return told


def _docstring_of_init(node: ast.AST) -> str | None:
    body = node.body if isinstance(node, ast.ClassDef) else []
    constructors = [item for item in body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    return ast.get_docstring(constructors[0]) if constructors else None


def _with_meanings(signature: Signature, told: Mapping[str, str]) -> Signature:
    arguments = {
        key: replace(argument, meaning=told.get(argument.name) or argument.meaning)
        for key, argument in signature.arguments.items()
    }
    return replace(signature, arguments=arguments)


def _docstring(found: Found) -> str:
    """In the class, or given to it behind its body, as torch does it."""
    node = found.node
    assert isinstance(node, ast.ClassDef)
    if (docstring := ast.get_docstring(node)) is not None:
        return docstring
    for statement in found.module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == f"{found.name}.__doc__":
            return _text(statement.value, found.module)
    return ""


def _text(node: ast.expr, module: Module) -> str:
    """The text that an expression of constants makes."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, module)
    if isinstance(node, ast.BinOp):
        return _text(node.left, module) + _text(node.right, module)
    found = lookup(module, node.id) if isinstance(node, ast.Name) else None
    return _text(found.node, found.module) if found is not None and isinstance(found.node, ast.expr) else ""


def is_dataclass(node: ast.AST) -> bool:
    """Whether a definition is that of a dataclass, and of nothing else besides."""
    decorators = node.decorator_list if isinstance(node, ast.ClassDef) else []
    names = [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in decorators]
    return len(names) == 1 and names[0].rpartition(".")[2] == "dataclass"


def _made(factory: str) -> str:
    literals = {"list": "[]", "dict": "{}", "tuple": "()"}
    return literals.get(factory, re.sub(r"^lambda: ", "", factory) if factory.startswith("lambda") else f"{factory}()")
