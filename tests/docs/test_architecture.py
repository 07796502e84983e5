"""The page of the architecture says what is so: its files exist, and its floors are those of the import contracts."""

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:src|tests|conf|benchmarks)/[\w./]*)`", PAGE)
    assert len(named) > 30
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_floors_are_those_of_the_contract() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in settings["tool"]["importlinter"]["contracts"] if one["name"] == "Floors")
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    table = PAGE[PAGE.index("|---|---|") :].partition("\n\n")[0]
    floors = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()[1:]]
    assert floors == layers


def test_the_floors_hold_every_package() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in settings["tool"]["importlinter"]["contracts"] if one["name"] == "Floors")
    held = {name for layer in contract["layers"] for name in layer.split(" | ")}
    source = REPOSITORY / "src" / "cloze"
    packages = {path.stem for path in source.iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"}
    assert packages - {"__init__"} == held


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/architecture.md" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
