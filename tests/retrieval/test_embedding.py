"""`cloze-embed` that is killed: the same command resumes it, to the byte; another one is refused."""

import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import forks

TEXTS = [f"a man plays {'the guitar ' * (number % 13)}{number}" for number in range(60)]
KILLED_WITHIN = """
import os, signal, sys
from cloze.cli import embed
from cloze.data.extraction import chunks, partial
chunks.LOOK_AHEAD_TOKENS, partial.SECONDS = 400, 0
moment, after = sys.argv[2], partial.PartialPart.after
del sys.argv[1:3]
add = partial.PartialFeatures.add
def killed_within(self, done, share, results):
    after(self, done, share, results)
    if moment == "within" and self._file.name.startswith("part-00001") and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
def killed_before(self, number, record):
    if moment == "before" and number == 2:  # its rows are written, but not on record
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, number, record)
partial.PartialPart.after, partial.PartialFeatures.add = killed_within, killed_before
sys.exit(embed.main())
"""
"""A command with small parts, which kills its process; the first word says when."""


@pytest.fixture
def words(shared_data: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    model = shared_data / "fixtures/st600_cls_dense_normalize_prompts"
    return [f"model={model}", "input=in.txt", "prompt=passage", "hardware.micro_batch_tokens=128"]


@pytest.mark.parametrize(("name", "quantize"), [("a.npy", "null"), ("a.parquet", "int8"), ("a.parquet", "binary")])
def test_a_killed_run_resumes_to_the_byte(name: str, quantize: str, words: list[str], tmp_path: Path) -> None:
    words = [*words, f"quantize={quantize}"]
    whole = tmp_path / "whole" / name
    done = forks.run("-c", KILLED_WITHIN, "never", *words, f"output={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for moment in ("within", "before"):
        killed = forks.run("-c", KILLED_WITHIN, moment, *words, f"output={name}", cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (tmp_path / name).exists()
    changed = forks.run("-c", KILLED_WITHIN, "never", *words, f"output={name}", "dimension=8", cwd=tmp_path)
    assert changed.returncode == 2
    assert "options.dimension: was 16, is 8" in changed.stderr
    again = forks.run("-c", KILLED_WITHIN, "never", *words, f"output={name}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "texts already there" in again.stderr
    assert again.stdout == done.stdout.replace(str(whole), name)
    for file in whole.parent.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    assert not (tmp_path / f"{name}.unfinished").exists()
    rows = pq.read_table(tmp_path / name.replace(".npy", ".rows.parquet"))
    assert rows["text"].to_pylist() == TEXTS
    if name == "a.npy":
        assert np.load(tmp_path / name).shape == (60, 16)


def test_what_decides_the_output_may_not_change(words: list[str], shared_data: Path, tmp_path: Path) -> None:
    killed = forks.run("-c", KILLED_WITHIN, "before", *words, "output=a.parquet", cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    other = shared_data / "fixtures/st600_mean_normalize"
    for changed, said in (
        (["prompt=query"], 'options.prompt: was "passage: ", is "query: "'),
        (["quantize=int8"], 'options.quantize: was null, is "int8"'),
        (["max_length=8", "hardware.micro_batch_tokens=64"], "micro_batch_tokens: was 128, is 64; options.max_length"),
        ([f"model={other}"], "model.fingerprint: was"),
    ):
        done = forks.run("cloze-embed", *words, "output=a.parquet", *changed, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
    (tmp_path / "in.txt").write_text("\n".join([*TEXTS, "one more"]))
    done = forks.run("cloze-embed", *words, "output=a.parquet", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "input.bytes: was" in done.stderr


def test_an_output_that_exists_is_kept(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("mine")
    done = forks.run("cloze-embed", *words, "output=a.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert "a.parquet: exists already; delete it, or choose another output" in done.stderr
    assert (tmp_path / "a.parquet").read_text() == "mine"
