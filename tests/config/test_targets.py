"""Signatures that are read from the source are those that Python has when the thing is imported."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloze.config.annotations import Foreign
from cloze.config.arguments import conf_folder
from cloze.config.docstrings import first_sentence, meanings
from cloze.config.nodes import locate
from cloze.config.source import is_light, resolve
from cloze.config.targets import inspected, signature_of
from cloze.config.validation import described
from cloze.errors import InputError

TARGETS = sorted(
    {
        path
        for file in conf_folder().rglob("*.yaml")
        for path in re.findall(r"_target_: ([\w.]+)", file.read_text(encoding="utf-8"))
    }
)
FURTHER = [
    "torch.optim.SGD",
    "torch.optim.NAdam",
    "torch.optim.Muon",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.nn.Linear",
    "pytorch_optimizer.AdaFactor",
    "lightning.pytorch.callbacks.EarlyStopping",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.Trainer",
    "torch.nn.Sequential",  # *args
    "pytorch_optimizer.Lion",  # **kwargs
    "pytorch_optimizer.Lookahead",
]


@pytest.mark.parametrize("target", [*TARGETS, *FURTHER])
def test_read_as_imported(target: str) -> None:
    real, read = inspected(locate(target, "x")), signature_of(target, "x")
    assert list(read.arguments) == list(real.arguments)
    assert [argument.name for argument in read.positional] == [argument.name for argument in real.positional]
    assert (read.rest is None, read.extra) == (real.rest is None, real.extra)
    for key, argument in read.arguments.items():
        there = real.arguments[key]
        assert (argument.default is None) == (there.default is None), key
        if there.hint is not Any:
            assert described(argument.hint) == described(there.hint), key


@pytest.mark.parametrize("target", TARGETS)
def test_what_conf_names_is_read_without_running_it(target: str) -> None:
    assert resolve(target) is not None


@pytest.mark.parametrize("target", [target for target in TARGETS if target.startswith("cloze.")])
def test_every_argument_of_ours_has_a_meaning(target: str) -> None:
    signature = signature_of(target)
    assert {key for key, argument in signature.arguments.items() if not argument.meaning} == set()


def test_nothing_heavy_is_imported_to_read_them_all() -> None:
    code = (
        "import sys\nfrom cloze.config.targets import signature_of\n"
        f"for target in {TARGETS}: signature_of(target)\n"
        "print(*(name for name in ('torch', 'lightning', 'numpy', 'pyarrow') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []


def test_a_class_of_a_module_that_only_its_code_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decorated = "def made(f):\n    return lambda power=1: f\n@made\ndef engine(): ...\n"
    text = decorated + "class T(type): ...\nclass M(metaclass=T):\n    def __init__(self, size: int): ...\n"
    (tmp_path / "own_engine.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(signature_of("own_engine.engine").arguments) == ["power"]
    assert list(signature_of("own_engine.M").arguments) == ["size"]


def test_a_module_that_is_broken_is_told_by_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_lacking.py").write_text("class Here:\n    def __init__(self, a): ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"engine\._target_ is 'own_lacking\.There', but there is no such class"):
        signature_of("own_lacking.There", "engine")
    with pytest.raises(InputError, match="'engine' needs the package 'no_such_package'"):
        signature_of("no_such_package.There", "engine")


def test_types_of_other_packages_are_names() -> None:
    rate = signature_of("torch.optim.AdamW").arguments["lr"]
    assert any(isinstance(kind, type) and issubclass(kind, Foreign) for kind in rate.hint.__args__)
    assert described(rate.hint) == "a number"
    assert rate.default == "1e-3"
    assert first_sentence(rate.meaning) == "learning rate"  # the default is told next to it


def test_light_modules_are_those_of_plain_python() -> None:
    assert is_light("cloze.model.config")
    assert is_light("cloze.optim.schedules")
    assert not is_light("cloze.optim.muon")
    assert not is_light("cloze.text.tokenizer")
    assert not is_light("json")  # others' constructors may do anything


def test_meanings_go_over_lines() -> None:
    found = meanings("Mix.\n\nArgs:\n    rate (float): how\n        much.\n    *rest: others.\n\nReturns:\n    x: y\n")
    assert found == {"rate": "how much.", "*rest": "others."}
