"""What a shell hands over: streams closed, full or left by their reader; words and locales; launchers' numbers."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cloze.runtime.shell import NUMBERS, check_surroundings, fitted
from cloze.text.tokenizer import SPECIAL_TOKENS
from tests import processes
from tests.forks import REPOSITORY, SURROUNDINGS
from tests.tiny import save_tiny

PREDICT = "predict model=model 'text=the [MASK] schön' top_k=1"
ASCII = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
UNWRITABLE = "error: standard output cannot be written"
STORIES: list[tuple[str, int, str, str]] = [  # a line, its status, how stdout begins, what stderr has
    (f"{PREDICT} > /dev/full", 2, "", f"{UNWRITABLE} (No space left on device)"),
    (f"{PREDICT} >&-", 2, "", f"{UNWRITABLE} (Bad file descriptor)"),
    (f"{PREDICT} 2> /dev/full", 0, '{"id": "0"', ""),
    (f"{PREDICT} 2>&-", 0, '{"id": "0"', ""),
    (f"{PREDICT} <&-", 0, '{"id": "0"', ""),
    ("predict model=nowhere text=a 2> /dev/full", 2, "", ""),
    ("predict model=model input=- <&-", 2, "", "error: input=-: standard input is closed"),
    ("predict model=model input=many.txt top_k=1 | head -n 1", 0, '{"id": "0"', ""),
    ("train --help > /dev/full", 2, "", UNWRITABLE),
    ("train --help | head -n 1", 0, "", ""),
    ("doctor > /dev/full", 2, "", UNWRITABLE),
    (f"{ASCII} {PREDICT}", 0, '{"id": "0", "text": "the [MASK] schön"', ""),
    (f"{ASCII} predict model=model 'input=\"schön.txt\"' top_k=1", 0, '{"id": "0", "text": "schön [MASK]"', ""),
    (f"{PREDICT} output=$'sch\\xf6n.jsonl'", 2, "", "error: the argument 'output=sch\\xf6n.jsonl' is not UTF-8"),
    (f"RANK=x {PREDICT}", 2, "", "error: RANK=x in the environment: a whole number was expected; unset RANK"),
    ("SLURM_PROCID= train model=nowhere", 2, "", "error: SLURM_PROCID= in the environment"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = [*SPECIAL_TOKENS, "the", "cat", "schon", "good"]
    folder = tmp_path_factory.mktemp("shell")
    save_tiny(folder / "model", vocabulary, num_hidden_layers=1)
    (folder / "schön.txt").write_text("schön [MASK]\n", encoding="utf-8")
    (folder / "many.txt").write_text("the [MASK] cat\n" * 20_000)
    return folder


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which each command is a function that starts ours."""
    python, train = shlex.quote(sys.executable), shlex.quote(str(REPOSITORY / "train.py"))
    commands = [f'{name}() {{ {python} -m cloze.cli.{name} "$@"; }}' for name in ("predict", "doctor")]
    script = "\n".join([*commands, f'train() {{ {python} {train} "$@"; }}', line])
    return processes.run(["bash", "-c", script], cwd=folder, env={**os.environ, **SURROUNDINGS})


@pytest.mark.slow
@pytest.mark.parametrize(("line", "status", "output", "error"), STORIES, ids=[story[0] for story in STORIES])
def test_ends_as_a_shell_expects(here: Path, line: str, status: int, output: str, error: str) -> None:
    done = shell(f"set -o pipefail; {line}", here)
    assert (done.returncode, done.stdout[: len(output)]) == (status, output), done.stderr
    assert error in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["> /dev/full 2> /dev/full < /dev/null", ">&- 2>&- <&-"])
def test_a_run_goes_on_where_nobody_listens(here: Path, small_corpus: list[str], streams: str, tmp_path: Path) -> None:
    words = shlex.join([*small_corpus, "trainer.max_steps=4", f"folder={tmp_path / 'run'}"])
    done = shell(f"train {words} {streams}", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "run/model/model.safetensors").exists()
    for file in (tmp_path / "run").rglob("*.jsonl"):  # a descriptor that was free would have been given to one of them
        assert file.read_text().startswith("{")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_launchers_number_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", ["cloze-train"])
    for good in ("0", "17"):
        monkeypatch.setenv(name, good)
        check_surroundings()
    for bad in ("", "x", "-1", "1.0", "²"):
        monkeypatch.setenv(name, bad)
        with pytest.raises(Exception, match=f"{name}={bad} in the environment"):
            check_surroundings()


@pytest.mark.parametrize("columns", [40, 80, 1000])
def test_lines_for_people_are_cut_between_words(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"{'memory':<12}100 MB on each device by formula: parameters 4.05 MB, {'x' * 90} re-computed"
    assert fitted(line, 12) == line  # for a program that reads it
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    first, *others = fitted(line, 12).split("\n")
    assert bool(others) == (columns < len(line))
    assert first.startswith("memory      100 MB on each ")
    assert all(other.startswith(" " * 12) and other[12] != " " for other in others)
    assert all(len(part) <= columns or "x" * 90 in part for part in (first, *others))
    assert " ".join([first, *(other.strip() for other in others)]) == line
