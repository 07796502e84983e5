"""`cloze-features` as a user calls it: what it writes, what it refuses, how much memory it takes, how it is stopped."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from cloze.cli.features import main
from tests import processes
from tests.tiny import VOCABULARY, save_tiny

VOCAB = [*VOCABULARY[:-1], "good", "bad"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "model", VOCAB)


def call(monkeypatch: pytest.MonkeyPatch, model: Path, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cloze-features", f"model={model}", *words])
    return main()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_with_a_probe(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{n},{('good', 'bad')[n % 2]} w{n % 7},{('pos', 'neg')[n % 2]}" for n in range(120)]
    Path("r.csv").write_text("\n".join(["key,review,stars", *rows, ""]))
    words = ["input=r.csv", "columns.text=review", "columns.id=key", "probe=stars", "output=out/probe.parquet"]
    assert call(monkeypatch, model, *words) == 0
    told = capsys.readouterr()
    assert "out/probe.parquet: 120 texts" in told.err
    assert "Linear probes for `stars`: 120 texts, 2 classes" in told.out
    table = pq.read_table("out/probe.parquet")
    assert table.column_names == ["row", "id", "label", "layer_0", "layer_1", "layer_2"]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "probe.parquet", "probe.parquet.probe.json", "probe.parquet.probe.md", "probe.parquet.probe.png",
    ]  # fmt: skip
    assert call(monkeypatch, model, *words) == 2
    assert "out/probe.parquet: exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["output=a.csv"], "expected a name that ends in .parquet"),
        (["output=a.npy", "layers=9"], "the model has the layers 0 (the embeddings) to 2, but no 9"),
        (["output=a.npy", "layers=sum_last_4"], "the model has only 2 blocks"),
        (["output=a.npy", "level=pooler", "layers=1"], "the pooler reads the last layer only"),
        (["output=a.npy", "level=piece"], "must be one of token, word, word_mean"),
        (["output=a.npy", "max_length=65"], "max_length=65: must be at most 64"),
        (["output=a.npy", "probe=stars", "level=word"], "a probe needs one embedding a text"),
        (["output=a.npy", "input=absent.txt"], "absent.txt: cannot be read"),
        (["output=a.npy", "columns.words=w", "columns.text_pair=b"], "pairs are read as texts"),
        ([], "the key 'output' has no value"),
        (["output=a.npy", "columns.txt=a"], "did you mean 'columns.text'?"),
        (["output=a.npy", "input=bad.jsonl"], "bad.jsonl, line 2"),
        (["output=a.npy", "hardware.devices=2"], "on one device"),
    ],
)
def test_what_is_refused_in_one_sentence(
    here: Path,
    model: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.txt").write_text("good\n")
    Path("bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    before = set(here.iterdir())
    assert call(monkeypatch, model, "input=a.txt", *words) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("error: ")
    assert message in errors[-1]
    assert {path for path in here.iterdir() if path.suffix != ".unfinished"} == before


def start(folder: Path, model: Path, *words: str, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    return processes.started(
        [sys.executable, "-m", "cloze.cli.features", f"model={model}", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def write_texts(file: Path, count: int) -> None:
    file.write_text("".join(f"good {'bad ' * (n % 50)}x\n" for n in range(count)))


@pytest.mark.slow
def test_killed_and_refused_and_finished(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts(here / "a.txt", 12_000)
    with start(here, model, "input=a.txt", "output=a.npy", "level=mean") as process:
        processes.wait_until((here / "a.npy.unfinished/part-00000.json").exists, process, pause=0.01)
        memory = psutil.Process(process.pid).memory_info().rss
        process.send_signal(signal.SIGKILL)
    assert memory < 2 << 30
    assert not (here / "a.npy").exists()
    assert call(monkeypatch, model, "input=a.txt", "output=a.npy", "level=max") == 2
    assert 'options.level: was "mean", is "max"' in capsys.readouterr().err
    assert call(monkeypatch, model, "input=a.txt", "output=a.npy", "level=mean") == 0
    assert "texts already there" in capsys.readouterr().err
    assert call(monkeypatch, model, "input=a.txt", "output=b.npy", "level=mean") == 0
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))
    assert Path("a.rows.parquet").read_bytes() == Path("b.rows.parquet").read_bytes()


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_finished(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for a full disk: writing fails in the same place."""
    write_texts(here / "a.txt", 10_000)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    with start(here, model, "input=a.txt", "output=a.npy", "level=mean", preexec_fn=limit) as process:
        _, errors = process.communicate(timeout=processes.SECONDS)
    assert process.returncode == 2, errors
    assert errors.splitlines()[-1].startswith("error: a.npy: cannot be written (File too large)")
    assert "Traceback" not in errors
    assert (here / "a.npy.unfinished/part-00000.json").exists()
    assert call(monkeypatch, model, "input=a.txt", "output=a.npy", "level=mean") == 0
    assert "texts already there" in capsys.readouterr().err
    assert len(np.load("a.npy")) == 10_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_output(here: Path, model: Path) -> None:
    """All layers from a pipe, 75 MB in pieces of 4 MiB; the bound of a token is a constant of the engine."""
    code = (
        "import sys, resource, torch\n"
        "from cloze.cli.features import main\n"
        "from cloze.inference import features\n"
        "features.PART_BYTES = 4 << 20\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"sys.argv = ['x', 'model={model}', 'output=a.npy', 'layers=all', 'hardware.micro_batch_tokens=1024']\n"
        "status = main()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        "sys.exit(status)\n"
    )
    done = processes.run(
        [sys.executable, "-c", code],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input="".join(f"good {'bad ' * 50}x\n" for _ in range(3_600)),
        check=True,
    )
    assert (here / "a.npy").stat().st_size > 70_000_000
    # kB: some 155 MB are imports, the model and one batch; a copy of the output would come on top.
    assert int(done.stdout) < 200_000
