"""Groups and options of the user's own (`--config-dir`), which help, completion, suggestions and the record know."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cloze.cli.completion import candidates, split
from cloze.cli.help import help_page
from cloze.cli.roots import SCHEMAS
from cloze.cli.words import refuse_mistakes
from cloze.config.arguments import conf_folder, forced, groups, own_folders
from cloze.config.fitting import fitting
from cloze.config.outline import outline
from cloze.config.spelling import spelled
from cloze.errors import InputError
from tests import forks, processes
from tests.conftest import REPOSITORY

QUICK = """\
# @package _global_
# a quick look
defaults:
  - override /model: mini
  - override /optimizer: slow
trainer:
  max_steps: 2
"""
SLOW = "# AdamW, slowly\n_target_: torch.optim.AdamW\n_partial_: true\nlr: 1e-7\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "experiment/quick": QUICK,
        "experiment/patient": "# @package _global_\n# patience\ntrainer:\n  patience: 3\n",
        "experiment/plain": "# no package\ntrainer:\n  max_steps: 3\n",
        "experiment/broken": "trainer: [\n",
        "optimizer/slow": SLOW,
        "colour/red": "# red\nshade: 3\n",
    }.items():
        file = tmp_path / "mine" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "mine"


def offered(line: str, command: str = "train") -> dict[str, str]:
    words, current, _ = split(f"cloze-{command} {line}")
    return {found.text.partition("=")[2]: found.line for found in candidates(command, SCHEMAS[command], words, current)}


def refusal(command: str, *words: str) -> str:
    try:
        given = forced(words, groups(conf_folder(), *own_folders(words)))
        refuse_mistakes(words, outline(conf_folder(), command, SCHEMAS[command], given))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("flag", ["--config-dir mine", "--config-dir=mine", "-cd mine", "--config-dir x -cd=./mine"])
def test_completion_offers_what_lies_there_and_fits(mine: Path, flag: str) -> None:
    assert offered("optimizer=sl") == {}
    assert offered(f"{flag} optimizer=sl") == {"slow": "AdamW, slowly"}
    found = offered(f"{flag} experiment=")
    assert found["quick"] == "a quick look"
    assert {"patient", "plain", "broken", "table7"}.isdisjoint(found)
    assert set(offered(f"{flag} experiment=", "finetune")) == {"quick", "patient", "feature_based", "table7"}
    assert set(offered(f"{flag} experiment=quick optimizer.l")) == {""}  # the key itself: optimizer.lr=


def test_a_group_of_one_s_own_is_offered_shown_and_added(mine: Path) -> None:
    assert set(offered("--config-dir mine col")) == {""}  # the word itself: colour=
    assert offered("--config-dir mine colour=") == {"red": "red"}
    words = ["--config-dir", "mine", "colour=red"]
    assert "colour.shade=3" in help_page(conf_folder(), "train", SCHEMAS["train"], [*words, "--help", "colour"])
    for typed, spelling in [("colour=red", "+colour=red"), ("+colour=red", "+colour=red")]:
        given = forced(["--config-dir", "mine", typed], groups(conf_folder(), mine))
        found = outline(conf_folder(), "train", SCHEMAS["train"], given)
        assert spelled(given, found) == ["--config-dir", "mine", spelling]


def test_help_shows_it(mine: Path) -> None:
    page = help_page(conf_folder(), "train", SCHEMAS["train"], ["--config-dir", "mine", "--help"])
    assert "slow" in page
    words = ["--config-dir", "mine", "experiment=quick", "--help", "optimizer"]
    assert "optimizer.lr=1e-7" in help_page(conf_folder(), "train", SCHEMAS["train"], words)
    with pytest.raises(InputError, match="did you mean 'optimizer=slow'"):
        help_page(conf_folder(), "train", SCHEMAS["train"], ["--config-dir=mine", "--help", "optimizer=slo"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("experiment=quik", "unknown option 'experiment=quik'; did you mean 'experiment=quick'?"),
        ("optimizer=slo", "did you mean 'optimizer=slow'?"),
        ("optimizer=slow optimizer.lrr=3", "unknown key 'optimizer.lrr'; did you mean 'optimizer.lr'?"),
        ("experiment=patient", "'experiment=patient': cloze-train has no 'trainer.patience'; valid here: "),
        ("experiment=plain", "the first line of its file must be '# @package _global_'"),
        ("experiment=broken", "mine/experiment/broken.yaml: cannot be read"),
        ("colour=rd", "unknown option 'colour=rd'; did you mean 'colour=red'?"),
        ("colour=null", "'colour=null' chooses nothing; valid here: red"),
        ("colour=red,red", "chooses several options: give -m"),
        ("colour=red optimizer=slow optimizer.lrr=3", "did you mean 'optimizer.lr'?"),
        ("colour=red", ""),
        ("+colour=red", ""),
        ("colour=red colour.shade=4", ""),
        ("experiment=quick optimizer.lr=3", ""),
    ],
)
def test_mistakes_are_found_there(mine: Path, words: str, message: str) -> None:
    told = refusal("train", "--config-dir", "mine", *words.split())
    assert message in told
    assert bool(told) == bool(message)


def test_options_of_other_commands_are_neither_listed_nor_taken() -> None:
    for command, group, fits, other in [
        ("finetune", "experiment", "feature_based", "bert_base_paper"),
        ("train", "experiment", "bert_base_paper", "table7"),
        ("finetune", "callbacks", "task", "default"),
        ("finetune", "tokenizer", "wordpiece", "continued"),
        ("train", "model", "tiny", "folder"),
        ("predict", "model", "folder", "tiny"),
        ("features", "hardware", "gpu", "ddp"),
    ]:
        found = outline(conf_folder(), command, SCHEMAS[command])
        assert fits in fitting(found, group)
        assert other not in fitting(found, group)
        assert refusal(command, f"{group}={fits}") == ""
        assert f"'{group}={other}': " in refusal(command, f"{group}={other}")
    assert refusal("train", "init=models/x", "model=continued") == ""
    assert "bert_base_paper" not in refusal("finetune", "experiment=cramming").partition("valid here")[2]


def test_the_version_is_ours() -> None:
    for command in ("train", "predict"):
        done = processes.run([sys.executable, "-m", f"cloze.cli.{command}", "--version"], check=True)
        assert done.stdout.startswith("cloze-bert 0.1.0 from ")


def recorded(folder: Path) -> list[str]:
    """The command in the `config.yaml` of a run."""
    (line,) = [line for line in (folder / "config.yaml").read_text().splitlines() if line.startswith("# command: ")]
    return shlex.split(line.removeprefix("# command: "))


def given_again(words: list[str], where: Path) -> "subprocess.CompletedProcess[str]":
    program = {"python": sys.executable}.get(words[0], words[0])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    return processes.run([program, *words[1:]], cwd=where, env=environment)


@pytest.mark.slow
def test_the_recorded_command_can_be_given_again(mine: Path, small_corpus: list[str], tmp_path: Path) -> None:
    """As it was typed, with its folder of options; of a job of a sweep the one that runs it alone."""
    script = str(REPOSITORY / "train.py")
    words = [
        "--config-dir", "mine", "experiment=quick", *small_corpus, "objective.max_length=32", "model.hidden_size=32",
        "model.num_hidden_layers=2", "model.intermediate_size=32",
    ]  # fmt: skip
    done = forks.run(script, *words, "run=one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    command = recorded(tmp_path / "runs/one")
    assert command == ["python", script, *words, "run=one"]
    again = given_again(command, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "runs/one" in again.stdout + again.stderr

    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    done = forks.run(script, *launcher, *words, "seed=5", "run=many", "-m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    command = recorded(tmp_path / "runs/many/0")
    assert command[:4] == ["python", script, "--config-dir", "mine"]
    assert {"experiment=quick", "seed=5", "run=many", "folder=runs/many/0"} <= set(command)
    assert given_again(command, tmp_path).returncode == 0
    shown = given_again([*command, "--cfg", "job"], tmp_path)
    assert yaml.safe_load(shown.stdout)["optimizer"]["lr"] == 1e-7
