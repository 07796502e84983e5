"""Every file under `conf/` composes, and every key in it fits the signature of its `_target_`."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.cli.prepare import Preparing
from cloze.config.arguments import conf_folder, groups
from cloze.config.schema import FineTuning, Pretraining
from cloze.config.validation import check
from tests.net.configurations import CONTINUING

NEEDED = {
    "text": ["++corpus.files=x"],
    "wikitext": ["++corpus.files=x"],
    "hub": ["++corpus.dataset=x"],
    "mixture": ["++corpus.parts=[{prepared: x}]"],
    "dask": ["++engine.address=x"],
    "tokenizer/folder": ["++tokenizer.vocab=x"],
    **{option: ["++init=x"] for option in ("continued", *CONTINUING)},
}
SCHEMAS = {"train": Pretraining, "finetune": FineTuning, "prepare": Preparing}


def choices() -> Iterator[tuple[str, str, str]]:
    """Each option of each group with a root that it is meant for."""
    for group, options in groups(conf_folder()).items():
        for option in options:
            text = (conf_folder() / group / f"{option}.yaml").read_text(encoding="utf-8")
            task = (
                group == "task"
                or (group, option) in {("model", "folder"), ("callbacks", "task")}
                or "adaptation:" in text
            )
            root = "prepare" if group == "engine" else "finetune" if task else "train"
            yield root, group, option


CHOICES = list(choices())


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


@pytest.mark.parametrize(("root", "group", "option"), CHOICES, ids=map("/".join, CHOICES))
def test_every_option_composes_and_fits(root: str, group: str, option: str) -> None:
    run = [] if root == "prepare" else ["++run=x"]
    config = compose(root, [f"{group}={option}", *run, *NEEDED.get(option, []), *NEEDED.get(f"{group}/{option}", [])])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, SCHEMAS[root])
