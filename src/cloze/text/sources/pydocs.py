"""The documentation strings of an installation of Python, as a corpus."""

import ast
import importlib.metadata
import os
import platform
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloze.errors import InputError
from cloze.text.documents import Document, Unit
from cloze.text.sources.docstrings import paragraphs

# Tests, copies of other packages, and the installers' own folders.
SKIPPED_FOLDERS = {
    "__pycache__",
    "_testing",
    "_vendor",
    "_vendored",
    "benchmarks",
    "dist-packages",
    "extern",
    "externals",
    "idle_test",
    "lib2to3",
    "node_modules",
    "pydoc_data",
    "site-packages",
    "test",
    "testing",
    "tests",
    "third_party",
    "vendor",
    "vendored",
}
SKIPPED_PACKAGES = frozenset({"cloze", "lightning_fabric", "pytorch_lightning"})  # the latter two mirror "lightning"
PROSE_SHARE = 1 / 12  # of a module's bytes; measured over an environment with torch, sympy, networkx and NumPy


@dataclass(frozen=True, kw_only=True)
class PythonDocs:
    """Docstrings of the standard library and of the installed packages, one document a module.

    Modules are parsed, never imported. Which text there is depends on the environment alone.

    Attributes:
        packages: top-level packages to read; None reads all that are installed.
        standard_library: whether to read the standard library.
    """

    packages: Sequence[str] | None = None
    standard_library: bool = True

    @property
    def name(self) -> str:
        return "pydocs"

    def units(self) -> list[Unit]:
        standard = list(_modules(Path(sysconfig.get_path("stdlib")))) if self.standard_library else []
        installed: dict[str, list[tuple[Path, int]]] = {}
        for root in dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]):
            for path, size in _modules(Path(root)):
                package = path.relative_to(root).parts[0].removesuffix(".py")
                installed.setdefault(package, []).append((path, size))
        packages = sorted(set(installed) - SKIPPED_PACKAGES) if self.packages is None else self.packages
        if absent := [package for package in packages if package not in installed]:
            raise InputError(f"corpus.source.packages: {', '.join(absent)} not installed in {sys.prefix}; leave it out")
        found = standard + [module for package in packages for module in installed[package]]
        return [Unit(str(path), 0, -1, max(1, int(size * PROSE_SHARE))) for path, size in found]

    def documents(self, unit: Unit, counts: Counter[str]) -> Iterator[Document]:
        docstrings = module_docstrings(Path(unit.path))
        if docstrings is None:
            counts["unparsable_modules"] += 1
            return
        lines = [line for _, docstring in docstrings for line in paragraphs(docstring)]
        if lines:
            yield Document(lines, unit.path)

    def fingerprint(self) -> dict[str, object]:
        versions = {str(found.name): found.version for found in importlib.metadata.distributions()}
        chosen = versions if self.packages is None else {name: versions.get(name) for name in self.packages}
        return {"python": platform.python_version(), "packages": dict(sorted(chosen.items()))}


def _modules(root: Path) -> Iterator[tuple[Path, int]]:
    """Python files below `root` with their sizes, in a fixed order."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        for file in sorted(files):
            if file.endswith(".py") and not file.startswith(("test_", "conftest")) and not file.endswith("_test.py"):
                path = Path(folder, file)
                yield path, path.stat().st_size


def module_docstrings(path: Path) -> list[tuple[int, str]] | None:
    """The line and the text of the docstrings of a module, its classes and their functions, in the order of the text.

    None for a file that is no module of this Python: a template, or code for another version.
    """
    source = path.read_bytes()
    if b'"""' not in source and b"'''" not in source:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return list(_docstrings(tree))


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    pending: list[ast.stmt | ast.Module] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield node.body[0].lineno, docstring
        if isinstance(node, ast.Module | ast.ClassDef | ast.If | ast.Try):
            pending += reversed(node.body)
