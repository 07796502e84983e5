"""`cloze-prepare` as users run it: real processes, real text, real signals."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloze.errors import InputError
from cloze.text.journal import UNFINISHED
from cloze.text.manifest import MANIFEST, Manifest
from cloze.text.report import load_report
from cloze.text.shards import read_shard
from tests import forks, processes

COMMAND = [sys.executable, "-m", "cloze.cli.prepare"]


@pytest.fixture
def words(shared_data: Path, tmp_path: Path) -> list[str]:
    """The command's words to prepare some articles of WikiText-2 in many small pieces."""
    text = (shared_data / "corpus/wikitext2/test.txt").read_text(encoding="utf-8")
    (tmp_path / "articles.txt").write_text(text[:600_000], encoding="utf-8")
    return [
        "corpus=wikitext",
        f"corpus.files={tmp_path}/articles.txt",
        f"corpus.prepared={tmp_path}/corpus",
        f"tokenizer.vocab={shared_data}/vocab/bert-base-uncased-vocab.txt",
        "corpus.source.unit_megabytes=0.02",
        "preparation.task_megabytes=0.02",
        "preparation.shard_tokens=10000",
        "preparation.workers=2",
    ]


@pytest.fixture
def many_words(shared_data: Path, words: list[str], tmp_path: Path) -> list[str]:
    """So much text that seconds pass between the first finished token and the last."""
    text = (shared_data / "corpus/wikitext2/train.txt").read_text(encoding="utf-8")
    (tmp_path / "articles.txt").write_text(text[:6_000_000], encoding="utf-8")
    return words


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return processes.run([*COMMAND, *words], **options)


@pytest.fixture
def start() -> Iterator[object]:
    """Starts the command in a process group of its own; none outlives the test."""
    with ExitStack() as running:

        def begin(words: list[str]) -> "subprocess.Popen[str]":
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return running.enter_context(processes.started([*COMMAND, *words], start_new_session=True, **pipes))

        yield begin


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of all finished files: those that bear no temporary name, nor belong to a task of
    encoding that is not on record or to a search for duplicates that has not ended, which start from scratch."""
    found = {}
    unfinished = set() if (folder / "unfinished/duplicates.json").exists() else {"lines", "documents"}
    for path in folder.rglob("*"):
        task = re.fullmatch(r"part-(\d+)-\d+\.arrow", path.name)
        off_record = task is not None and not path.with_name(f"encoded-{task[1]}.json").exists()
        temporary = path.name.startswith(".") or path.parent.name in unfinished or off_record
        if path.is_file() and not temporary and path.name != "lock":
            stat = path.stat()
            found[str(path.relative_to(folder))] = (stat.st_ino, stat.st_mtime_ns)
    return found


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The worker processes, once there are some."""

    def found() -> list[psutil.Process]:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    processes.wait_until(lambda: len(found()) == 2, process, pause=0.02)
    return found()


def stop_at(process: "subprocess.Popen[str]", path: Path) -> None:
    """Lets the command and its workers run in short slices until a file is there, and leaves them stopped.

    So what comes next meets the command in the midst of its work, however busy the machine is.
    """

    def is_there() -> bool:
        os.killpg(process.pid, signal.SIGSTOP)
        if list(path.parent.glob(path.name)):
            return True
        os.killpg(process.pid, signal.SIGCONT)
        return False

    processes.wait_until(is_there, process)
    assert not (path.parent / MANIFEST).exists()


def test_wikitext(shared_data: Path, tmp_path: Path) -> None:
    words = ["corpus=wikitext", f"corpus.files={shared_data}/corpus/wikitext2/valid.txt"]
    words += [f"corpus.prepared={tmp_path}/corpus", f"tokenizer.vocab={shared_data}/vocab/bert-base-uncased-vocab.txt"]
    done = run([*words, "preparation.workers=2"])
    assert done.returncode == 0, done.stderr
    assert "Train on it with\n  python train.py corpus=wikitext" in done.stdout
    assert "tokens a word" in done.stdout
    assert "encoding: " in done.stderr
    manifest = Manifest.load(tmp_path / "corpus")
    report = load_report(tmp_path / "corpus")
    assert report["train"]["documents"] + report["heldout"]["documents"] == 60  # articles of the validation part
    assert report["heldout"]["documents"] >= 1
    assert report["unknown_rate"] < 0.001
    assert 1.0 < report["tokens_per_word"] < 1.2
    assert sum(info.tokens for info in manifest.train) == report["train"]["tokens"]

    # An independent tokenizer puts the text back together.
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "corpus" / "tokenizer")
    shard = read_shard(tmp_path / "corpus" / manifest.train[0].file)
    sentence = tokenizer.decode(shard.tokens[: shard.sentence_offsets[1]])
    text = (shared_data / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8").lower()
    assert "".join(sentence.split()) in "".join(text.split())

    again = run([*words, "preparation.workers=1"])
    assert again.returncode == 0, again.stderr
    assert Manifest.load(tmp_path / "corpus") == manifest


def test_killed_at_any_moment_it_goes_on_where_it_was(words: list[str], start: object, tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert run([*words, f"corpus.prepared={undisturbed}"]).returncode == 0
    folder = tmp_path / "corpus"
    numbers = random.Random()
    moments = []
    before: dict[str, tuple[int, int]] = {}
    for _ in range(4):
        process = start(words)  # type: ignore[operator]
        workers = workers_of(process)
        moments.append(numbers.uniform(0, 1))
        time.sleep(moments[-1])
        process.kill()
        process.wait(timeout=60)
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive, "workers outlive the process that started them"
        if (folder / MANIFEST).exists():
            break
        now = stamps(folder)
        assert {name: now.get(name) for name in before} == before, (
            f"finished files were touched; killed after {moments}"
        )
        before = now
        with pytest.raises(InputError, match="not a prepared corpus"):
            Manifest.load(folder)
    done = run(words)
    assert done.returncode == 0, done.stderr
    assert contents(folder) == contents(undisturbed), f"killed after {moments}"
    now = stamps(folder)
    assert all(now[name] == before[name] for name in now if name in before)


def test_killed_between_shards(words: list[str], start: object, tmp_path: Path) -> None:
    process = start(words)  # type: ignore[operator]
    stop_at(process, tmp_path / "corpus" / "train-*.arrow")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    before = stamps(tmp_path / "corpus")
    done = run(words)
    assert done.returncode == 0, done.stderr
    now = stamps(tmp_path / "corpus")
    assert all(now[name] == stamp for name, stamp in before.items() if not name.startswith(UNFINISHED))


def test_interrupted(many_words: list[str], start: object, tmp_path: Path) -> None:
    process = start(many_words)  # type: ignore[operator]
    workers = workers_of(process)
    stop_at(process, tmp_path / "corpus" / UNFINISHED / "encoded-*.json")
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does for Ctrl-C
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; the same command resumes where it stopped" in errors
    assert "Traceback" not in errors
    assert not psutil.wait_procs(workers, timeout=60)[1]


def test_a_killed_worker_is_reported(many_words: list[str], start: object, tmp_path: Path) -> None:
    process = start(many_words)  # type: ignore[operator]
    workers = workers_of(process)
    stop_at(process, tmp_path / "corpus" / UNFINISHED / "encoded-*.json")
    workers[0].kill()
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "error: a worker process was killed, most often because memory ran out" in errors
    assert "Traceback" not in errors
    assert list((tmp_path / "corpus" / UNFINISHED).glob("encoded-*.json")), "finished work is kept"


def test_two_at_once(words: list[str], start: object, tmp_path: Path) -> None:
    process = start(words)  # type: ignore[operator]
    processes.wait_until((tmp_path / "corpus" / UNFINISHED / "plan.json").exists, process, pause=0.01)
    process.send_signal(signal.SIGSTOP)
    try:
        second = run(words)
    finally:
        process.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"process {process.pid} on {os.uname().nodename} is preparing a corpus here" in second.stderr
    process.communicate(timeout=processes.SECONDS)
    assert process.returncode == 0


def test_disk_full(words: list[str], tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: writing fails in the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = run([*words, "preparation.workers=0"], preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "finished work is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "corpus" / MANIFEST).exists()
    assert not list((tmp_path / "corpus").rglob(".*")), "half-written files are left"
    assert run(words).returncode == 0


def test_bad_input_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.txt", tmp_path / "broken.txt"
    empty.write_text("\n\n")
    broken.write_bytes(b"good.\nbad \xff\n")
    for change, message in (
        ([f"corpus.files={empty}"], "empty"),
        ([f"corpus.files={broken}"], "broken.txt, line 2"),
        (["preparation.shard_token=5"], "did you mean 'preparation.shard_tokens'?"),
    ):
        done = run([*words, *change])
        assert done.returncode == 2, (change, done.stderr)
        error = done.stderr.splitlines()[-1]
        assert error.startswith("error: "), done.stderr
        assert message in error
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "corpus").exists()


def test_the_corpora_of_a_folder_are_listed(small_text: Path, tmp_path: Path) -> None:
    words = [f"corpus.files={small_text}", "corpus=text", "tokenizer.vocab_size=120", "preparation.workers=0"]
    assert "there are no corpora in " in forks.run("cloze-prepare", "--list", cwd=tmp_path).stdout
    assert forks.run("cloze-prepare", *words, cwd=tmp_path).returncode == 0
    (corpus,) = (tmp_path / "data").iterdir()
    (tmp_path / "data/stopped/unfinished").mkdir(parents=True)
    (tmp_path / "data/broken").mkdir()
    (tmp_path / "data/broken" / MANIFEST).write_text("{", encoding="utf-8")
    (tmp_path / "data/notes").mkdir()
    done = forks.run("cloze-prepare", "--list", cwd=tmp_path, env={"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines() if line.strip().startswith("data/")]
    tokens = sum(shard.tokens for shard in Manifest.load(corpus).train)
    assert [row[:2] for row in rows[:2]] == [
        ["data/broken", "damaged, or of another version"], ["data/stopped", "not finished"]
    ]  # fmt: skip
    assert rows[2][:4] == [f"data/{corpus.name}", "WordPiece, 83", str(small_text), f"{tokens:,}"]
    refused = forks.run("cloze-prepare", "--list", "corpus=text", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--list shows the corpora in data/ and stands alone" in refused.stderr
