"""Every command of the pages on tasks composes, and all its keys fit the signatures."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.schema import FineTuning
from cloze.config.validation import check

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"


def commands(program: str) -> list[list[str]]:
    """The words after `program`, of a sweep the first of the values with commas."""
    text = "".join(PAGE.read_text(encoding="utf-8").split("```")[1::2]).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith(program)]
    skip = len(program.split())
    return [
        [word if "[" in word else word.partition(",")[0] for word in words[skip:] if not word.startswith("-")]
        for words in lines
        if "--help" not in words
    ]


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


@pytest.mark.parametrize("words", commands("python finetune.py"), ids=" ".join)
def test_a_command_of_the_page_fits(words: list[str]) -> None:
    config = compose("finetune", forced(words, groups(conf_folder())))
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, FineTuning)


def test_the_page_names_every_task() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {task for task in groups(conf_folder())["task"] if not re.search(rf"(`|task=){task}\b", page)} == set()


def test_there_are_commands() -> None:
    assert len(commands("python finetune.py")) > 12
    assert len(commands("cloze-glue")) == 2
