"""What holds for the repository as a whole."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cloze

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(cloze.__path__, "cloze."))
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported(module: str) -> None:
    importlib.import_module(module)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(REPOSITORY / "src")))
def test_files_and_functions_stay_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 330
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = (ast.get_docstring(node) or "").count("\n")
            length = (node.end_lineno or 0) - node.lineno - docstring
            assert length <= 70, f"{node.name} has {length} lines"


def test_optional_packages_are_imported_only_where_they_are_used() -> None:
    """With wandb, datasets and tensorboard out of reach, everything that training needs is imported all the same."""
    code = (
        "import sys\n"
        "for name in ('wandb', 'datasets', 'tensorboard'): sys.modules[name] = None\n"
        "import cloze.launch.finetuning, cloze.launch.pretraining, cloze.loggers\n"
        "from cloze.callbacks import export, finite, progress, samples, throughput"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_lock_pins_every_dependency_and_names_no_host() -> None:
    lock = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins)
    pinned = {_normal(pin.partition("==")[0]) for pin in pins}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {_normal(re.split(r"[<>=!\[]", requirement)[0]) for requirement in ranges} - {"cloze"}
    assert names <= pinned


def test_the_wheel_carries_the_configuration() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["force-include"] == {"conf": "cloze/conf"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
