"""Check package versions against the supported ranges, and try the imports of training."""

import platform
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, NamedTuple

from cloze.doctor.findings import Finding
from cloze.runtime import distribution

PROJECT = distribution.CHECKOUT / "pyproject.toml"
TRAINING = "import cloze.launch.pretraining, cloze.launch.finetuning, cloze.callbacks.samples"
SHOWN = ("torch", "lightning", "hydra-core", "omegaconf", "tokenizers", "numpy", "numba", "pyarrow", "wandb")
LONGEST_IMPORT = 120.0  # seconds


class Wanted(NamedTuple):
    """A requirement of the project.

    Attributes:
        requirement: of `packaging`.
        extra: that brings it; empty for what every run needs.
    """

    requirement: Any
    extra: str


def wanted() -> list[Wanted]:
    """What the project asks for: from its `pyproject.toml` in a checkout, else from the installed package."""
    from packaging.requirements import Requirement

    if PROJECT.is_file():
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
        extras = {"": project["dependencies"], **project["optional-dependencies"]}
        pairs = [(text, extra) for extra, texts in extras.items() for text in texts]
    else:
        pairs = [_split_marker(text) for text in requires(distribution.name()) or []]
    found = [Wanted(Requirement(text), extra) for text, extra in pairs]
    return [one for one in found if not distribution.is_ours(one.requirement.name)]


def _split_marker(text: str) -> tuple[str, str]:
    """`hub-name>=1; extra == "hub"` -> requirement and extra."""
    requirement, _, marker = text.partition(";")
    found = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
    return requirement.strip(), found[1] if found else ""


def check_packages() -> Iterator[Finding]:
    """Python, every requirement, torch's companions, and what takes the place of this package."""
    yield _python()
    yield from _namesakes()
    requirements = wanted()
    for one in requirements:
        if not one.extra:
            yield from _check(one, "failure")
    installed = {name: _version(name) for name in SHOWN}
    listed = ", ".join(f"{name} {found}" for name, found in installed.items() if found)
    yield Finding(topic="packages", level="good", text=listed, figures=installed)
    yield from _extras([one for one in requirements if one.extra not in ("", "dev", "docs")])
    yield from _companions()


def _python() -> Finding:
    here = platform.python_version()
    level, advice = ("good", "") if sys.version_info >= (3, 11) else ("failure", "install Python 3.11 or later")
    return Finding(
        topic="packages",
        level=level,  # type: ignore[arg-type]
        text=f"Python {here}, {platform.system()} {platform.machine()}",
        advice=advice,
        figures={"python": here},
    )


def _namesakes() -> Iterator[Finding]:
    for other in distribution.others():
        ours = f"{distribution.name()} {distribution.VERSION}"
        level, both = "warning", ""
        if other.shadows:
            level, both = "failure", ": both bring a package cloze, and Python imports only one of them"
        yield Finding(
            topic="packages",
            level=level,  # type: ignore[arg-type]
            text=f"{other.name} {other.version} is installed next to this project, {ours}{both}",
            advice=f"pip uninstall {other.name}, then install this project again: {distribution.installation()}",
            figures={"package": other.name, "installed": other.version},
        )


def _check(one: Wanted, level: str) -> Iterator[Finding]:
    name, ranges, found = one.requirement.name, one.requirement.specifier, _version(one.requirement.name)
    if found is not None and ranges.contains(found, prereleases=True):
        return
    text = f"{name} is not installed" if found is None else f"{name} {found} is outside of {ranges}, which cloze needs"
    yield Finding(
        topic="packages",
        level=level,  # type: ignore[arg-type]
        text=text,
        advice=f"pip install '{name}{ranges}'",
        figures={"package": name, "installed": found, "wanted": str(ranges)},
    )


def _extras(requirements: list[Wanted]) -> Iterator[Finding]:
    """Extras that are not there are no fault; those that are there have to fit."""
    absent: dict[str, list[str]] = {}
    for one in requirements:
        if _version(one.requirement.name) is None:
            absent.setdefault(one.extra, []).append(one.requirement.name)
        else:
            yield from _check(one, "warning")
    for extra, names in absent.items():
        yield Finding(
            topic="packages",
            level="note",
            text=f"the extra {extra} is not installed ({', '.join(names)})",
            advice=f"{distribution.installation(extra)} where you want it",
        )


def _companions() -> Iterator[Finding]:
    """Packages that are built for one build of torch and break imports next to another."""
    torch = _version("torch")
    for name in ("torchvision", "torchaudio"):
        found = _version(name)
        if torch is None or found is None:
            continue
        meant = next((text for text in requires(name) or [] if re.match(r"torch\b(?!\w)", text)), "")
        exact = re.search(r"==\s*([\w.]+)", meant)
        other_version = exact is not None and exact[1] != torch.partition("+")[0]
        other_build = found.partition("+")[2] != torch.partition("+")[2]
        if other_version or other_build:
            yield Finding(
                topic="packages",
                level="warning",
                text=f"{name} {found} was built for another torch than {torch}: lightning may fail to import",
                advice=f"pip uninstall {name} (cloze does not need it), or install both from one index",
                figures={"package": name, "installed": found, "torch": torch},
            )


def check_imports() -> Iterator[Finding]:
    """Import what training imports, in a process of its own."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False, timeout=LONGEST_IMPORT
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            topic="imports",
            level="failure",
            text=f"importing what training needs took more than {LONGEST_IMPORT:.0f} s",
            advice="look at the disk that Python is installed on: python -X importtime -c 'import torch' shows more",
        )
        return
    seconds = time.monotonic() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        yield Finding(
            topic="imports",
            level="failure",
            text=f"what training needs cannot be imported: {lines[-1]}",
            advice=f"python -c '{TRAINING}' shows where; in a fresh environment {distribution.installation()} brings "
            "what fits",
        )
        return
    slow = seconds > 20
    yield Finding(
        topic="imports",
        level="warning" if slow else "good",
        text=f"all that training needs is imported in {seconds:.1f} s",
        advice="the environment lies on a slow disk: a local copy of it starts sooner" if slow else "",
        figures={"seconds": round(seconds, 3)},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
