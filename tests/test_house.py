"""What holds for the repository as a whole."""

import ast
import importlib
import pkgutil
import re
import sys
import tomllib
from pathlib import Path

import pytest

import cloze
from tests import processes

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(cloze.__path__, "cloze."))
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
STARTS = ("run", "call", "check_call", "check_output")
"""Functions of subprocess that wait for what they start."""
WAITS = ("join", "wait", "communicate", "result", "get", "acquire", "recv", "exception")
"""Methods that may wait for ever where they are given nothing."""


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported(module: str) -> None:
    if module == "cloze.model.kernels.triton_attention":
        pytest.importorskip("triton", reason="triton, which comes with torch's builds for GPUs, is not installed")
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


def endless(source: str, *, starts: bool = False) -> list[str]:
    """The calls in a program that may wait for ever, or start a process that nobody ends.

    Args:
        source: of the program.
        starts: whether it may start processes by itself.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called = ast.unparse(node.func)
        module, _, name = called.rpartition(".")
        is_limited = any(word.arg in ("timeout", "seconds", None) for word in node.keywords)
        if (
            (name in WAITS and module and not node.args and not is_limited and not called.endswith(".io.wait"))
            or (name in STARTS and module == "subprocess" and not is_limited)
            or (name == "urlopen" and not is_limited)
            or (name == "WebDriverWait" and len(node.args) < 2)
            or (called == "os.waitpid" and ast.unparse(node.args[1]) != "os.WNOHANG")
            or (name in ("waitstatus", "wait3", "wait4") or called in ("os.wait", "os.system", "input"))
            or (name == "Popen" and not starts)
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
    return found


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(REPOSITORY / "tests")))
def test_no_test_waits_for_ever(file: Path) -> None:
    """Every wait has its limit, and every process is started by tests/processes.py, which ends it."""
    assert not endless(file.read_text(encoding="utf-8"), starts=file.name == "processes.py")


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("subprocess.run(['a'], check=True)", 1),
        ("subprocess.run(['a'], timeout=3)", 0),
        ("subprocess.Popen(['a'])", 1),
        ("process.wait()", 1),
        ("process.wait(3)", 0),
        ("process.communicate(timeout=3)[0]", 0),
        ("process.communicate()[0]", 1),
        ("thread.join()", 1),
        ("', '.join(words)", 0),
        ("queue.get()", 1),
        ("found.get('key')", 0),
        ("future.result()", 1),
        ("urlopen(url).read()", 1),
        ("urllib.request.urlopen(url, timeout=3)", 0),
        ("WebDriverWait(driver).until(shown)", 1),
        ("WebDriverWait(driver, 30).until(shown)", 0),
        ("os.waitpid(child, 0)", 1),
        ("os.waitpid(child, os.WNOHANG)", 0),
    ],
)
def test_what_waits_for_ever_is_found(line: str, count: int) -> None:
    assert len(endless(line)) == count


def test_optional_packages_are_imported_only_where_they_are_used() -> None:
    """With wandb, datasets and tensorboard out of reach, everything that training needs is imported all the same."""
    code = (
        "import sys\n"
        "for name in ('wandb', 'datasets', 'tensorboard'): sys.modules[name] = None\n"
        "import cloze.launch.finetuning, cloze.launch.pretraining, cloze.loggers\n"
        "from cloze.callbacks import export, finite, progress, samples, throughput"
    )
    processes.run([sys.executable, "-c", code], check=True)


def test_the_lock_pins_every_dependency_and_names_no_host() -> None:
    lock = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins)
    pinned = {_normal(pin.partition("==")[0]) for pin in pins}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {_normal(re.split(r"[<>=!\[]", requirement)[0]) for requirement in ranges} - {"cloze-bert"}
    assert names <= pinned


def test_the_wheel_carries_the_configuration() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["force-include"] == {"conf": "cloze/conf"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(REPOSITORY / "tests")))
def test_properties_build_their_examples(file: Path) -> None:
    """A strategy that throws examples away fails for some seeds, where it throws away too many."""
    text = file.read_text(encoding="utf-8")
    if "hypothesis" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("assume", "reject"), f"line {node.lineno}"
            assert not called.endswith(".filter"), f"line {node.lineno}"
