"""Every block of the tutorials is run, or, where it needs a cluster or an account, composed and checked."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.schema import Demo, FineTuning, Pretraining
from cloze.config.validation import check
from tests import forks
from tests.conftest import REPOSITORY
from tests.docs import tutorial_world
from tests.docs.tutorials import FOLDER, SMALL, blocks

FIRST = "own_files.md"  # whose model the others take
LONG = ["many_gpus.md", "sweeps.md"]  # of processes of their own, and of many runs
PAGES = sorted(page.name for page in FOLDER.glob("*.md") if page.name not in (FIRST, "index.md", *LONG))
ROOTS = {"train.py": ("train", Pretraining), "finetune.py": ("finetune", FineTuning), "cloze-demo": ("demo", Demo)}
GOOGLES = "cloze-convert from=runs/books/model to=uncased_L-12_H-768_A-12 format=google"
"""The release that the page on domain adaptation begins from."""


def run(folder: Path, todo: list[tuple[str, str]]) -> None:
    for script in ("train.py", "finetune.py"):
        (folder / script).symlink_to(REPOSITORY / script)
    tutorial_world.make(folder)
    (folder / "blocks.json").write_text(json.dumps(todo), encoding="utf-8")
    environment = {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = forks.run("tests.docs.shell", "blocks.json", cwd=folder, env=environment)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" s  ") >= len(todo)


@pytest.mark.slow
def test_the_tutorials_run(tmp_path: Path) -> None:
    rest = [block for page in PAGES for block in blocks(page, "bash", "python")]
    assert len(rest) > 20
    run(tmp_path, [*blocks(FIRST, "bash", "python"), ("bash", GOOGLES), *rest])
    assert json.loads((tmp_path / "runs/after/results.json").read_text(encoding="utf-8"))["dev"]
    assert {"test", "bm25"} == json.loads((tmp_path / "runs/titles/search/results.json").read_text("utf-8")).keys()
    assert len((tmp_path / "new-stars.jsonl").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.long
@pytest.mark.parametrize("page", LONG)
def test_a_tutorial_of_many_processes_or_runs(page: str, tmp_path: Path) -> None:
    run(tmp_path, [*blocks(FIRST, "bash", "python"), *blocks(page, "bash", "python")])


def test_the_pages_say_what_makes_their_commands_small() -> None:
    said = " ".join(
        re.findall(r"```text\n(.*?)```", (FOLDER / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    ).split()
    assert said == [word for script, words in SMALL.items() for word in (script, *words.split())]


@pytest.fixture
def composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


def unrun() -> list[list[str]]:
    text = "".join(block for page in sorted(FOLDER.glob("*.md")) for _, block in blocks(page.name, "console"))
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words for words in lines if words]


@pytest.mark.parametrize("words", unrun(), ids=" ".join)
def test_a_command_that_is_not_run_fits(words: list[str], composer: None) -> None:
    script = next(i for i, word in enumerate(words) if word in ROOTS)
    name, schema = ROOTS[words[script]]
    overrides = forced([word for word in words[script + 1 :] if word != "--dry-run"], groups(conf_folder()))
    config = compose(name, [*(["++run=x"] if name != "demo" else []), *overrides])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, schema)
