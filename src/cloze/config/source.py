"""Resolve dotted names in source code without importing modules.

A signature that is read this way costs milliseconds; importing torch or Lightning to look at one costs seconds.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "cloze"
MOST_STEPS = 20
"""Of names that lead to names, before a circle of imports is taken for one."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Module:
    """A module as its file says it.

    Attributes:
        name: dotted.
        is_package: whether the file is an ``__init__.py``.
        body: its statements.
        lines: of the file, as bytes, which is what the positions in a syntax tree count.
        names: what stands at its top level under each name: a definition, an import or an assignment.
    """

    name: str
    is_package: bool
    body: list[ast.stmt]
    lines: list[bytes]
    names: dict[str, ast.stmt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for statement in top_level(self.body):
            for name in _bound(statement):
                self.names.setdefault(name, statement)

    def text(self, node: ast.expr) -> str:
        """An expression as it is written: `1e-3`, where the syntax tree alone knows 0.001."""
        if node.lineno != node.end_lineno:
            return ast.unparse(node)
        return self.lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()

    def absolute(self, statement: ast.ImportFrom) -> str:
        """The module that `from ... import` names."""
        if not statement.level:
            return statement.module or ""
        parts = self.name.split(".")
        kept = parts[: len(parts) - statement.level + self.is_package]
        return ".".join([*kept, *filter(None, [statement.module])])


@dataclass(frozen=True)
class Found:
    """Where a dotted name leads to: a class, a function or the value of an assignment, and the module it stands in."""

    module: Module
    name: str
    node: Definition | ast.expr

    @property
    def path(self) -> str:
        return f"{self.module.name}.{self.name}"


@cache
def read_module(name: str) -> Module | None:
    """A module of this environment, or None where there is no such file of Python's."""
    file = _file(name)
    if file is None:
        return None
    try:
        text = file.read_bytes()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    return Module(name, file.name == "__init__.py", tree.body, text.splitlines())


def resolve(path: str, steps: int = 0) -> Found | None:
    """The definition behind a dotted name, through the imports of the modules on the way; None where it has none."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = read_module(".".join(parts[:end]))
        if module is not None:
            found = lookup(module, parts[end], steps + 1)
            return found if len(parts) == end + 1 else None  # the rest would be an attribute of a class
    return None


def lookup(module: Module, name: str, steps: int = 0) -> Found | None:
    """The definition behind a name of a module; None where the module has none or only an import of one."""
    statement = module.names.get(name)
    if steps > MOST_STEPS:
        return None
    if isinstance(statement, Definition):
        return Found(module, name, statement)
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        return Found(module, name, statement.value)
    if dotted := imported_as(module, name):
        return resolve(dotted, steps + 1)
    for star in module.names.get("*"), *(s for s in module.body if isinstance(s, ast.ImportFrom)):
        if isinstance(star, ast.ImportFrom) and star.names[0].name == "*":
            found = resolve(f"{module.absolute(star)}.{name}", steps + 1)
            if found is not None:
                return found
    return None


def imported_as(module: Module, name: str) -> str | None:
    """The dotted name that an import of this module gives a name to."""
    statement = module.names.get(name)
    if isinstance(statement, ast.ImportFrom):
        original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
        return f"{module.absolute(statement)}.{original}"
    if isinstance(statement, ast.Import):
        alias = next(alias for alias in statement.names if (alias.asname or alias.name.partition(".")[0]) == name)
        return alias.name if alias.asname else name
    return None


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those within `if` and `try` too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from top_level([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from top_level([*statement.body, *handlers, *statement.orelse])


@cache
def is_light(name: str) -> bool:
    """Whether a module of cloze's and all that it imports need nothing but the standard library."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        module = read_module(current)
        if module is None or not current.startswith(PACKAGE):
            return False
        needed = {*_imports(module), *_parents(current)}
        todo += [other for other in needed if other.partition(".")[0] not in sys.stdlib_module_names]
    return True


def _imports(module: Module) -> Iterator[str]:
    for statement in module.body:  # what stands under `if TYPE_CHECKING` is not run
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            source = module.absolute(statement)
            submodules = [f"{source}.{alias.name}" for alias in statement.names]
            yield from (name for name in submodules if source.startswith(PACKAGE) and _file(name) is not None)
            yield source


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


@cache
def _file(name: str) -> Path | None:
    top, *rest = name.split(".")
    if any(not part.isidentifier() for part in (top, *rest)):
        return None
    if top == PACKAGE:
        folders = [Path(__file__).resolve().parents[1]]
    else:
        try:
            spec = importlib.util.find_spec(top)  # of a top-level name: imports nothing
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if not rest and spec.submodule_search_locations is None:
            return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        place = folder.joinpath(*rest)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file() and (rest or file.name == "__init__.py"):
                return file
    return None


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement gives a meaning to."""
    if isinstance(statement, Definition):
        yield statement.name
    elif isinstance(statement, ast.Import):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id
