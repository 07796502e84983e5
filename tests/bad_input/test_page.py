"""Every row of docs/bad_input.md, run: exit status 2, and the very message."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import processes
from tests.bad_input.session import Session
from tests.bad_input.world import CORPUS, PAYLOAD, TINY
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "bad_input.md"
TASK = ["task=classification", "task.data.train=train.csv", "task.data.dev=dev.csv", "task.max_length=16"]
WORDS = {"train.py": [*CORPUS, *TINY], "finetune.py": [*TASK, "trainer.max_steps=2", "hardware.threads=1"]}
"""What `…` in a command stands for."""

BEFORE = re.compile(r"(note|warning): .+|step \d.*|resuming from .+|[\w ,-]+: \d+ of \d+|.*?( {2,}[\w,.]*)+|")
"""What may be told before the error; the last are the rows of each split and label."""

AT_A_SHELL = {"a key that does not exist", "no such text", "a value that is missing"}
"""Rows that are run once more, as a user would."""


class Row(NamedTuple):
    """A row of the page."""

    section: str
    wrong: str
    command: str
    message: str

    @property
    def words(self) -> list[str]:
        words = shlex.split(re.sub(r"^ulimit -f \d+; ", "", self.command))
        return [word for given in words for word in (WORDS[words[0]] if given == "…" else [given])]

    @property
    def file_bytes(self) -> int | None:
        found = re.match(r"ulimit -f (\d+); ", self.command)
        return None if found is None else 1024 * int(found[1])

    def check(self, status: int, told: str) -> None:
        """That a command ended as the row says."""
        *before, last = told.strip().split("\n")
        assert status == 2, told
        assert re.fullmatch(re.escape(f"error: {self.message}").replace("…", ".+"), last), told
        assert all(BEFORE.fullmatch(line) for line in before), told


def rows() -> list[Row]:
    found, section = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if match := re.fullmatch(r"\| (.+?) \| `(.+?)` \| (.+) \|", line):
            found.append(Row(section, match[1], match[2], match[3].replace("\\|", "|")))
    return found


def test_the_page_has_four_parts() -> None:
    sections = [row.section for row in rows()]
    assert list(dict.fromkeys(sections)) == ["Configuration", "Data", "Checkpoints and models", "Environment"]
    assert len(sections) >= 100


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.wrong)
def test_row(session: Session, row: Row) -> None:
    if "locked/" in row.command and not session.mounted:
        pytest.skip("this system lets no test mount a folder that cannot be written")
    before = {path for path in session.folder.rglob("*") if path.is_file()}
    answer = session.run(*row.words, file_bytes=row.file_bytes)
    row.check(answer["status"], answer["error"])
    assert not (session.folder / PAYLOAD).exists()
    written = {path for path in session.folder.rglob("*") if path.is_file()} - before
    if row.section == "Configuration":
        assert not written
    assert not [path for path in written if path.suffix in (".safetensors", ".npy", ".jsonl", ".parquet", ".ckpt")]
    for leftover in ("runs/tiny-text", "runs/full", "runs/classification", "runs/new"):
        shutil.rmtree(session.folder / leftover, ignore_errors=True)


@pytest.mark.parametrize("row", [row for row in rows() if row.wrong in AT_A_SHELL], ids=lambda row: row.wrong)
def test_at_a_shell(tmp_path: Path, row: Row) -> None:
    script, *words = row.words
    program = (
        [str(REPOSITORY / script)] if script.endswith(".py") else ["-m", f"cloze.cli.{script.removeprefix('cloze-')}"]
    )
    result = processes.run([sys.executable, *program, *words], cwd=tmp_path)
    row.check(result.returncode, result.stderr)
    assert not list(tmp_path.iterdir())
