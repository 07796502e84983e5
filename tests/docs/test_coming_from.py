"""Every key, option and command that the pages for users of other scripts name exists."""

import copy
import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.schema import FineTuning, Pretraining
from cloze.config.validation import check
from cloze.errors import InputError
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "coming_from"
ROOTS = {"train": Pretraining, "finetune": FineTuning}
OF_CORPORA = {"text": "corpus.files=x", "hub": "corpus.dataset=x"}
PLACEHOLDER = re.compile(r"[A-Z]+|\.\.\.|")
KEY = re.compile(r"[a-z_]+(\.[a-z_]+)*")


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield
    composed.cache_clear()


def spans() -> list[str]:
    """What stands in code marks in the last column of the tables: commands, words and keys of ours."""
    found = []
    for page in sorted(FOLDER.glob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("| ") and page.name != "index.md":
                found += re.findall(r"`([^`]+)`", line.rstrip(" |").rpartition(" | ")[2])
    return sorted(set(found))


@cache
def composed(root: str, *words: str) -> dict[str, Any]:
    config = OmegaConf.to_container(compose(root, forced(["run=x", *words], groups(conf_folder()))), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def accepted(root: str, key: str, value: Any, chosen: dict[str, str]) -> bool:
    """Whether a root has a key; that a value of the wrong type is refused as such tells it, too."""
    words = [f"task={chosen['task']}"] if "task" in chosen else []
    if root == "train":
        corpus, model = chosen.get("corpus", "text"), chosen.get("model", "base")
        words = [f"corpus={corpus}", OF_CORPORA[corpus], *([] if PLACEHOLDER.fullmatch(model) else [f"model={model}"])]
    config = copy.deepcopy(composed(root, *words))
    *sections, name = key.split(".")
    section: Any = config
    for step in sections:
        section = section.get(step) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        return False
    section[name] = value
    try:
        check(config, ROOTS[root])
    except InputError as error:
        return "unknown key" not in str(error)
    return True


@pytest.mark.parametrize("span", spans())
def test_what_a_page_names_exists(span: str) -> None:
    words = shlex.split(span)
    if words[0].startswith("cloze-"):
        assert (conf_folder() / f"{words[0].removeprefix('cloze-')}.yaml").is_file()
        return
    if re.search(r"/|\.(py|yaml|json)$", words[0]):
        return  # a file
    options = groups(conf_folder())
    words = [word for word in words if word not in ("python", "train.py", "finetune.py", "...")]
    assignments = dict(word.partition("=")[::2] for word in words)
    for key, value in assignments.items():
        assert KEY.fullmatch(key), key
        if key in options:
            assert PLACEHOLDER.fullmatch(value) or value in options[key], f"{key}={value}"
        else:
            given = "x" if PLACEHOLDER.fullmatch(value) else yaml.safe_load(value)
            assert any(accepted(root, key, given, assignments) for root in ROOTS), f"{key}={value}"


def test_there_is_much_to_check() -> None:
    assert len(spans()) > 70
