"""Every file under `conf/` composes, and every key in it fits the signature of its `_target_`."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder, groups
from cloze.config.schema import Pretraining
from cloze.config.validation import check

NEEDED = {"text": ["++corpus.files=x"], "wikitext": ["++corpus.files=x"], "hub": ["++corpus.dataset=x"]}
CHOICES = [(group, option) for group, options in groups(conf_folder()).items() for option in options]


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=map("/".join, CHOICES))
def test_every_option_composes_and_fits(group: str, option: str) -> None:
    config = compose("train", [f"{group}={option}", "++run=x", *NEEDED.get(option, [])])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, Pretraining)
