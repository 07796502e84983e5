import subprocess
import sys
import time
from pathlib import Path

from cloze.config.arguments import conf_folder, groups
from tests.command import Command

REPOSITORY = Path(__file__).resolve().parents[2]


def test_help_lists_every_group_and_option(train: Command) -> None:
    result = train("--help")
    assert result.returncode == 0
    assert result.stderr == ""
    for group, options in groups(conf_folder()).items():
        assert f"\n  {group} " in result.stdout
        for option in options:
            assert f" {option} " in result.stdout, f"{group}/{option}"
    assert "python train.py -m" in result.stdout
    assert "max_steps" in result.stdout


def test_help_answers_at_once_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "from cloze.cli.train import main; main()\n"
        "print(*(name for name in ('torch', 'lightning', 'hydra', 'numpy') if name in sys.modules), file=sys.stderr)"
    )
    begin = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stderr.strip() == ""
    assert time.monotonic() - begin < 1.5


def test_cfg_job_prints_the_composed_configuration(train: Command) -> None:
    result = train("--cfg", "job", "model=mini", "optimizer.eps=1e-7")
    assert result.returncode == 0
    assert "hidden_size: 256" in result.stdout
    assert "eps: 1.0e-07" in result.stdout
