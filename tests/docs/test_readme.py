"""The README keeps its promises: each yes of ours leads to its proof, links lead somewhere, commands compose."""

import re
import shlex
from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.schema import FineTuning, Pretraining
from cloze.config.validation import check
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ROOTS = {"train.py": ("train", Pretraining), "finetune.py": ("finetune", FineTuning)}


def test_each_yes_of_ours_leads_to_its_proof() -> None:
    (table,) = re.findall(r"## Compared with others\n\n(.*?)\n\n", README, re.DOTALL)
    ours = [row.split(" | ")[1] for row in table.splitlines()[2:]]
    assert len(ours) > 12
    for cell in ours:
        assert cell == "no" or re.fullmatch(r"\[yes\]\((tests|benchmarks|docs)/[^)]+\)", cell), cell


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert len(links) > 30
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def commands() -> list[list[str]]:
    """The words from `train.py` or `finetune.py` on, of a sweep the first of the values with commas."""
    text = "".join(README.split("```")[1::2]).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True) if re.search(r"(^|&& )python \w+\.py", line) else []
        if words and "--help" not in words:
            words = [word for word in words[words.index("python") + 1 :] if word != "--dry-run"]
            found.append([word if "[" in word else word.partition(",")[0] for word in words if word != "-m"])
    return found


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_fits(words: list[str]) -> None:
    root, schema = ROOTS[words[0]]
    config = compose(root, forced([*words[1:], *(["run=x"] * ("run=" not in " ".join(words)))], groups(conf_folder())))
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, schema)


def test_there_are_commands() -> None:
    assert len(commands()) > 8
