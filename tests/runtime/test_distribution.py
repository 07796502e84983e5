"""The name of the distribution, wherever the package is used from."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from cloze import __version__
from cloze.runtime import distribution
from tests import processes

REPOSITORY = Path(__file__).resolve().parents[2]
ASK = "from cloze.runtime import distribution as d; print(d.name()); print(d.installation('demo')); print(d.others())"


def metadata(folder: Path, name: str, version: str, *, script: str = "", files: str = "") -> None:
    """What an installer leaves of a distribution."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "RECORD").write_text(files, encoding="utf-8")
    if script:
        (info / "entry_points.txt").write_text(f"[console_scripts]\ncloze-train = {script}\n", encoding="utf-8")


def ask(site: Path) -> list[str]:
    told = processes.run([sys.executable, "-c", ASK], cwd=site, env={"PYTHONPATH": str(site)}, check=True)
    return str(told.stdout).splitlines()


def test_a_checkout_is_installed_from_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert distribution.installation("demo") == "pip install -e '.[demo]'"
    assert distribution.installation() == "pip install -e ."
    monkeypatch.chdir(tmp_path)
    assert distribution.installation("demo") == f"pip install -e '.[demo]' in {REPOSITORY}"


def test_the_name_and_the_version_are_those_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == distribution.UNKNOWN == distribution.name()
    assert project["tool"]["hatch"]["version"]["path"] == "src/cloze/runtime/distribution.py"
    assert __version__ == distribution.VERSION


def test_an_installed_package_takes_its_name_from_its_metadata(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "src" / "cloze", tmp_path / "cloze", ignore=shutil.ignore_patterns("__pycache__"))
    metadata(tmp_path, "renamed-bert", "0.1.0", script="cloze.cli.train:main", files="cloze/__init__.py,,\n")
    name, command, _ = ask(tmp_path)
    assert name == "renamed-bert"
    assert command == "pip install 'renamed-bert[demo]'"


@pytest.mark.parametrize(
    ("name", "files", "shadows"),
    [("cloze", "cloze/__init__.py,,\n", True), ("Cloze", "", False), ("reports", "cloze/__init__.py,,\n", True)],
)
def test_another_project_of_this_name_is_found(tmp_path: Path, name: str, files: str, shadows: bool) -> None:
    metadata(tmp_path, name, "0.11.0", files=files)
    told = processes.run(
        [sys.executable, "-c", ASK], cwd=tmp_path, env={"PYTHONPATH": f"{REPOSITORY / 'src'}:{tmp_path}"}, check=True
    ).stdout
    assert f"Other(name='{name}', version='0.11.0', shadows={shadows})" in told
