import resource
import sys
from pathlib import Path

import pytest
import yaml

from cloze.config.arguments import conf_folder, groups
from tests import processes
from tests.command import Command

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["train", "finetune"])
def test_help_lists_every_group_and_option(name: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(f"shell_{name}")("--help")
    assert result.returncode == 0
    assert result.stderr == ""
    defaults = yaml.safe_load((conf_folder() / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    options = groups(conf_folder())
    for group in (group for default in defaults if isinstance(default, dict) for group in default):
        assert f"\n  {group} " in result.stdout
        for option in options[group]:
            assert f" {option} " in result.stdout, f"{group}/{option}"
    assert f"python {name}.py -m" in result.stdout
    assert "max_steps" in result.stdout


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
