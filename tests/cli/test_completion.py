"""Completion as bash asks for it, and what is offered where."""

import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cloze.cli.completion import SHELLS, answer, candidates, script, split
from cloze.cli.roots import SCHEMAS
from tests import processes
from tests.conftest import REPOSITORY


def offered(line: str, command: str = "train") -> list[str]:
    words, current, _ = split(f"cloze-{command} {line}")
    return sorted({candidate.text for candidate in candidates(command, SCHEMAS[command], words, current)})


@pytest.mark.parametrize(
    ("command", "line", "expected"),
    [
        ("train", "opt", ["optimizer.", "optimizer="]),
        ("train", "trainer.max_", [f"trainer.max_{unit}=" for unit in ("epochs", "steps", "time", "tokens")]),
        ("train", "optimizer=", [f"optimizer={name}" for name in ("adamw", "lamb", "muon", "stableadamw")]),
        ("train", "optimizer=lamb optimizer.rect", ["optimizer.rectify="]),
        ("train", "optimizer.rect", []),
        ("train", "experiment=pydocs optimizer.momentum_", ["optimizer.momentum_warmup_steps="]),
        ("train", "-m model=tiny,mi", ["model=tiny,mini"]),
        ("train", "hardware.compile=", ["hardware.compile=false", "hardware.compile=true"]),
        ("train", "+++trainer.log", ["+++trainer.log_every="]),
        ("train", "~callbacks.sam", ["~callbacks.samples."]),
        ("train", "--cfg ", ["all", "hydra", "job"]),
        ("train", "--comp", ["--completion"]),
        ("train", "--dry", ["--dry-run"]),
        ("prepare", "--l", ["--list"]),
        ("train", "--l", []),
        ("predict", "--dry", []),
        ("train", "--completion ", ["bash", "fish", "zsh"]),
        ("train", "--help sch", ["schedule", "schedule."]),
        ("finetune", "task=glue/ss", ["task=glue/sst2"]),
        ("finetune", "stage=", ["stage=evaluate", "stage=predict", "stage=train"]),
        ("convert", "format=", ["format=google", "format=hf", "format=onnx"]),
        ("predict", "columns.te", ["columns.text=", "columns.text_pair="]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_offered(command: str, line: str, expected: list[str]) -> None:
    assert offered(line, command) == expected


def test_files_where_a_key_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a b.txt").touch()
    (tmp_path / "boot.txt").touch()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    assert offered("corpus=text corpus.files=bo") == ["corpus.files=books/", "corpus.files=boot.txt"]
    assert offered("corpus=text corpus.files='books/a") == ["corpus.files=books/a b.txt"]
    assert offered("input=", "predict") == ["input=books/", "input=boot.txt", "input=null"]
    assert offered("model=bo", "predict") == ["model=books/"]
    assert offered("run=bo") == []
    assert offered("--config-dir bo") == ["books/"]
    assert offered("task.data.train=boo", "finetune") == []  # that of the default task has no such key
    assert offered("task=classification task.data.train=boo", "finetune") == [
        "task.data.train=books/",
        "task.data.train=boot.txt",
    ]


def test_other_shells_are_told_what_a_word_is() -> None:
    line = answer("train", SCHEMAS["train"], "fish", "cloze-train optimizer=lam")
    assert line == "optimizer=lamb\tLAMB, for batches of tens of thousands of sequences (You et al. 2020)"


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import os, sys; sys.argv = ['x', '--complete', 'bash']; os.environ['CLOZE_LINE'] = 'cloze-train optimizer.'\n"
        "from cloze.cli.train import main; main()\n"
        "heavy = ('torch', 'lightning', 'hydra', 'omegaconf', 'numpy', 'rich')\n"
        "print(*(name for name in heavy if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "optimizer.lr=" not in done.stderr
    assert "optimizer.weight_decay=" in done.stdout.split()
    assert done.stderr.split() == []


DRIVER = """
set -u
PATH=$1:$PATH
eval "$(cloze-train --completion bash)"
complete_line() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
    read -ra COMP_WORDS <<<"${COMP_LINE//=/ = }"
    [[ $1 == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _cloze "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]-}"
}
for line in 'cloze-train optimiz' 'cloze-train optimizer=' "cloze-train corpus.files='no" \\
    'cloze-train corpus.files=no' "python $2 hardware=g" 'python other/train.py hardware=g' 'cloze-train --cfg j'; do
    complete_line "$line"
done
complete -p cloze-train
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """`cloze-train` and `python`, for the path of a shell that works in `tmp_path`, where a trap lies."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "cloze-train"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
        "from cloze.cli.train import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    python = folder / "python"  # no link: it would not find the packages of its environment
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "no tes.txt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.py").write_text("open('was-run', 'w')\n", encoding="utf-8")
    return folder


def test_bash(programs: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", DRIVER, "bash", str(programs), str(REPOSITORY / "train.py")],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "optimizer. optimizer=",
        "adamw lamb muon stableadamw",
        "no tes.txt",
        "no\\ tes.txt",
        "gpu",
        "",
        "job",
        "complete -F _cloze cloze-train",
    ]
    assert not (tmp_path / "was-run").exists()


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish(programs: Path, tmp_path: Path) -> None:
    code = (
        "set -p PATH $argv[1]; cloze-train --completion fish | source\n"
        "for line in 'cloze-train optimizer=' 'cloze-train corpus.files=no' \"python $argv[2] hardware=g\" "
        "'python other/train.py hardware=g'; echo $line:; complete -C $line; end"
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, str(programs), str(REPOSITORY / "train.py")],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert offered == [
        "cloze-train optimizer=:", *(f"optimizer={name}" for name in ("adamw", "lamb", "muon", "stableadamw")),
        "cloze-train corpus.files=no:", "corpus.files=no tes.txt",
        f"python {REPOSITORY / 'train.py'} hardware=g:", "hardware=gpu",
        "python other/train.py hardware=g:",
    ]  # fmt: skip
    assert not (tmp_path / "was-run").exists()


RC = """
autoload -Uz compinit; compinit -D -u
PATH=$PROGRAMS:$PATH; eval "$(cloze-train --completion zsh)"
zle-line-init() { BUFFER=$LINE; CURSOR=$#LINE; zle complete-word; print -r -- "[$BUFFER]"; exit }
zle -N zle-line-init
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cloze-train optimizer=lam", "cloze-train optimizer=lamb "),
        ("cloze-train corpus.files=no", r"cloze-train corpus.files=no\ tes.txt "),
        ("cloze-train corp", "cloze-train corpus"),  # a section and a group
        (f"python {REPOSITORY}/train.py hardware=g", f"python {REPOSITORY}/train.py hardware=gpu "),
        ("python other/train.py hardware=g", "python other/train.py hardware=g"),
    ],
)
def test_zsh(programs: Path, tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / ".zshrc").write_text(RC, encoding="utf-8")
    surroundings = {**os.environ, "ZDOTDIR": str(tmp_path), "PROGRAMS": str(programs), "LINE": line}
    assert f"[{expected}]" in at_a_terminal(["zsh", "-d", "-i"], tmp_path, surroundings)
    assert not (tmp_path / "was-run").exists()


def at_a_terminal(command: list[str], folder: Path, surroundings: dict[str, str]) -> str:
    """What a command says on a terminal of its own: zsh completes nowhere else."""
    master, slave = pty.openpty()
    process = processes.start(command, cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=surroundings)
    os.close(slave)
    told = b""
    with suppress(OSError), processes.limited(process, 200):  # Linux's way to tell that nobody writes any more
        while part := os.read(master, 65536):
            told += part
    processes.end(process)
    os.close(master)
    return told.decode()


def test_the_commands_are_all_there() -> None:
    for shell in SHELLS:
        text = script(shell)
        assert all(name in text for name in SCHEMAS)
