import re
import resource
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.cli.glue import Glue
from cloze.cli.help import head_of, help_page, help_text
from cloze.cli.roots import SCHEMAS
from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.fitting import fitting
from cloze.config.outline import outline
from cloze.config.validation import check
from tests import processes
from tests.command import Command

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("width", [80, 120])
def test_help_has_a_line_a_group_and_three_examples(name: str, width: int) -> None:
    page = help_text(conf_folder(), name, SCHEMAS[name], width)
    lines = page.splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in page
    defaults = yaml.safe_load((conf_folder() / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    found = outline(conf_folder(), name, SCHEMAS[name])
    words = page.replace(",", " ").split()
    for group, chosen in (
        (group, option) for item in defaults if isinstance(item, dict) for group, option in item.items()
    ):
        assert any(line.startswith(f"  {group} ") for line in lines), group
        assert {option for option in fitting(found, group) if option != chosen} <= set(words)
        assert chosen is None or f"{chosen}*" in words
    assert len(re.findall(rf"^  (python {name}\.py|cloze-{name}|\S+ \S+ \| cloze-{name})", page, re.MULTILINE)) == 3
    assert "--completion SHELL" in page


@pytest.mark.parametrize("name", ["train", "finetune"])
def test_a_topic_tells_every_key_with_its_default_and_meaning(name: str) -> None:
    schema = SCHEMAS[name]
    for group in outline(conf_folder(), name, schema).groups:
        page = help_page(conf_folder(), name, schema, ["--help", group])
        for option in fitting(outline(conf_folder(), name, schema), group):
            assert re.search(rf"^  [* ] {re.escape(option)}(\s|$)", page, re.MULTILINE), option
    page = help_page(conf_folder(), name, schema, ["--help", "optimizer"])
    assert re.search(r"^  optimizer\.eps=1e-6 +term added to the denominator", page, re.MULTILINE)
    assert re.search(r"^  optimizer\.amsgrad=false +whether to use the AMSGrad", page, re.MULTILINE)
    assert "optimizer.rectify=false" in help_page(conf_folder(), name, schema, ["--help", "optimizer=lamb"])
    one = help_page(conf_folder(), name, schema, ["--help", "trainer.max_time"])
    assert "length on the wall clock" in one
    assert "must be text or null" in one
    assert "optimizer" not in one


def test_what_is_chosen_before_the_topic_counts() -> None:
    page = help_page(conf_folder(), "train", SCHEMAS["train"], ["experiment=pydocs", "--help", "optimizer"])
    assert "arguments of cloze.optim.muon.MuonAdamW" in page


EXAMPLES = [(name, command) for name in SCHEMAS for command, _ in head_of(conf_folder(), name)[1]]


@pytest.mark.parametrize(("name", "command"), EXAMPLES, ids=[command for _, command in EXAMPLES])
def test_an_example_of_the_help_composes(name: str, command: str) -> None:
    (part,) = [part for part in command.split("|") if re.search(rf"(cloze-{name}|{name}\.py)", part)]
    words = shlex.split(part)
    words = words[1 + next(i for i, word in enumerate(words) if word.endswith((f"cloze-{name}", f"{name}.py"))) :]
    own = {
        "predict": ("task=", "text=", "text_pair="),
        "demo": ("sentences=",),
        "mine": ("corpus=",),
        "search": ("query=",),
    }.get(name, ())
    words = [word.replace("=...", "=runs/x/model") for word in words if not word.startswith(own) or not own]
    words = [word for word in words if word != "--dry-run"]
    if name == "report":
        words = [word for word in words if "=" in word]
    if name == "doctor":
        words = ["format=json" if word == "--json" else word for word in words]
    if name == "embed":
        words = ["stage=evaluate" if word == "evaluate" else word for word in words]
    if name == "glue":  # which hands the words that it does not know to finetune
        words = [word for word in words if word.split("=")[0] in {field.name for field in fields(Glue)}]
    given = [word for word in words if word != "-m"]
    assert "-m" in words or not any(re.fullmatch(r"[^\[{('\"]*=[^\[{('\"]*,.*", word) for word in words)
    once = [word.partition(",")[0] if "-m" in words else word for word in given]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        named = ["++run=x"] if name in ("train", "finetune") else []
        config = compose(name, [*named, *forced(once, groups(conf_folder()))])
        plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check({str(key): value for key, value in plain.items()}, SCHEMAS[name])


def test_colours_are_for_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mGroups\x1b[0m" in help_page(conf_folder(), "train", SCHEMAS["train"], ["--help"])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in help_page(conf_folder(), "train", SCHEMAS["train"], ["--help"])


def test_help_answers_at_once_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "from cloze.cli.train import main; main()\n"
        "print(*(name for name in ('torch', 'lightning', 'hydra', 'numpy') if name in sys.modules), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = processes.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
    assert result.stderr.strip() == ""
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # of the processor: the machine may have more to do
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_cfg_job_prints_the_composed_configuration(shell_train: Command) -> None:
    result = shell_train("--cfg", "job", "model=mini", "optimizer.eps=1e-7")
    assert result.returncode == 0
    assert "hidden_size: 256" in result.stdout
    assert "eps: 1.0e-07" in result.stdout
