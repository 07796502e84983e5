from pathlib import Path

import pytest

from cloze.doctor import packages
from cloze.doctor.findings import Finding
from cloze.doctor.packages import check_imports, check_packages, wanted

PYPROJECT = """
[project]
dependencies = ["numpy>=99", "no-such-package>=1", "torch>=2.11"]
[project.optional-dependencies]
hub = ["no-such-hub>=3"]
tensorboard = ["rich>=999"]
dev = ["no-such-tool", "cloze-bert[hub]"]
"""


def texts(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


def test_this_environment_has_what_the_project_asks_for() -> None:
    found = list(check_packages())
    assert texts(found, "failure") == []
    core = {one.requirement.name for one in wanted() if not one.extra}
    assert {"torch", "lightning", "hydra-core", "tokenizers"} <= core


def test_versions_outside_of_the_ranges_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.setattr(packages, "PROJECT", tmp_path / "pyproject.toml")
    found = list(check_packages())
    numpy, absent = texts(found, "failure")
    assert numpy.startswith("numpy ")
    assert numpy.endswith(" is outside of >=99, which cloze needs")
    assert absent == "no-such-package is not installed"
    assert any(text.startswith("rich ") for text in texts(found, "warning"))
    assert texts(found, "note") == ["the extra hub is not installed (no-such-hub)"]
    assert {finding.advice for finding in found if finding.level == "failure"} == {
        "pip install 'numpy>=99'", "pip install 'no-such-package>=1'"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("companion", "meant", "complains"),
    [("0.20.0+cu121", "torch==2.5.0", True), ("9.9.9", "torch==9.9.9", False), ("9.9.9+cu130", "torch==9.9.9", True)],
)
def test_a_companion_of_another_torch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, companion: str, meant: str, complains: bool
) -> None:
    for name, version, needs in (("torchvision", companion, meant), ("torch", "9.9.9", "numpy")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Requires-Dist: {needs}"]
        (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    warnings = [text for text in texts(list(check_packages()), "warning") if "another torch" in text]
    assert bool(warnings) is complains


def test_an_import_that_fails_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "TRAINING", "raise RuntimeError('operator torchvision::nms does not exist')")
    (found,) = check_imports()
    assert found.level == "failure"
    assert found.text.endswith("RuntimeError: operator torchvision::nms does not exist")


def test_an_import_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "TRAINING", "import time; time.sleep(60)")
    monkeypatch.setattr(packages, "LONGEST_IMPORT", 0.2)
    (found,) = check_imports()
    assert found.level == "failure"
