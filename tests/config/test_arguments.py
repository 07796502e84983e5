from pathlib import Path

import pytest

from cloze.config.arguments import conf_folder, forced, groups
from cloze.errors import InputError

OPTIONS = {"model": ["folder", "mini", "tiny"], "experiment": ["bert"]}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("model=mini", ["model=mini"]),
        ("model=mini,tiny", ["model=mini,tiny"]),
        ("seed=1", ["++seed=1"]),
        ("optimizer.eps=1e-8", ["++optimizer.eps=1e-8"]),
        ("corpus.files=a=b", ["++corpus.files=a=b"]),
        ("corpus.files='two\nlines'", ["++corpus.files='two\nlines'"]),
        ("hydra.verbose=true", ["hydra.verbose=true"]),
        ("+seed=1", ["+seed=1"]),
        ("~callbacks.samples", ["~callbacks.samples"]),
        ("-m", ["-m"]),
        ("--config-dir=mine", ["--config-dir=mine"]),
        ("experiment=null", []),
        ("model=runs/a/model", ["model=folder", "++model.folder=runs/a/model"]),
        ("model=runs/a/model,runs/b/model", ["model=folder", "++model.folder=runs/a/model,runs/b/model"]),
        ("model=hub:bert-base-cased", ["model=folder", "++model.folder=hub:bert-base-cased"]),
        ("model=minni", ["model=minni"]),
    ],
)
def test_only_values_are_forced(word: str, expected: list[str]) -> None:
    assert forced([word], OPTIONS) == expected


def test_a_group_without_a_choice_is_refused() -> None:
    with pytest.raises(InputError, match="'model=null' chooses nothing; valid here: folder, mini, tiny"):
        forced(["model=null"], OPTIONS)


def test_conf_is_the_repository_s_and_every_option_says_what_it_is() -> None:
    conf = conf_folder()
    assert conf == Path(__file__).resolve().parents[2] / "conf"
    for group, options in groups(conf).items():
        for option in options:
            lines = (conf / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
            assert lines["@package" in lines[0]].startswith("# "), f"{group}/{option}.yaml"
