"""Every command's configuration, with each option of each group, is what it was."""

import difflib
from pathlib import Path

import pytest
import yaml

from cloze.cli.roots import SCHEMAS
from tests import forks
from tests.net.configurations import EXPECTED, REQUIRED, flat, text_of


@pytest.mark.parametrize("root", SCHEMAS)
def test_the_configuration_is_as_it_was(root: str) -> None:
    expected = (EXPECTED / f"{root}.yaml").read_text(encoding="utf-8")
    found = text_of(root)
    changes = difflib.unified_diff(expected.splitlines(), found.splitlines(), "expected", "found", lineterm="", n=4)
    assert found == expected, f"conf/{root}.yaml is composed otherwise:\n" + "\n".join(changes)


def test_every_root_has_its_file() -> None:
    assert {file.stem for file in EXPECTED.glob("*.yaml")} == set(SCHEMAS)


@pytest.mark.parametrize("root", ["train", "finetune", "features"])
def test_what_is_compared_is_what_the_command_prints(root: str, tmp_path: Path) -> None:
    script = f"{root}.py" if root != "features" else "cloze-features"
    words = [word.removeprefix("++") for word in REQUIRED.get(root, [])]
    printed = forks.run(script, *words, "--cfg", "job", cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    expected = yaml.safe_load((EXPECTED / f"{root}.yaml").read_text(encoding="utf-8"))["default"]["composed"]
    found = flat(yaml.safe_load(printed.stdout))
    assert {key for key in expected if not key.startswith("hydra.")} == set(found)
    assert all(
        str(found[key]) == str(value) for key, value in expected.items() if key in found and "_target_" not in key
    )
