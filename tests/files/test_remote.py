"""Preparing from, and into, a real object store on this machine; and over a real cluster of two workers."""

import gzip
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloze.errors import InputError
from cloze.files.remote import RemotePath, location
from cloze.text.cluster import DaskEngine, DaskPool
from cloze.text.manifest import Manifest
from cloze.text.pool import WorkerKilledError
from cloze.text.prepare import Preparation
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece
from tests import processes
from tests.store import Store


def preparation_of(files: object) -> Preparation:
    return Preparation(
        source=TextFiles(files=files, unit_megabytes=0.005),  # type: ignore[arg-type]
        sentences=English(),
        tokenizer=WordPiece(vocab_size=120),
        duplicates="remove",
        near_duplicates=0.8,
        heldout_fraction=0.2,
        shard_tokens=300,
        task_megabytes=0.005,
        workers=0,
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Cluster:
    """A scheduler and two workers, as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.log = (folder / "cluster.log").open("wb")
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard")
        self.workers = [self.start_worker() for _ in range(2)]

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        command += ["--scheduler-file", str(self.file)]
        return processes.start(command, serves=True, stdout=self.log, stderr=self.log, cwd=self.file.parent)

    def start_worker(self) -> "subprocess.Popen[bytes]":
        return self._start("worker", "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            processes.end(process)
        self.log.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[Cluster]:
    """Its workers know the store from the environment, as those of a user do."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        processes.wait_until(running.file.exists, running.scheduler)
        yield running
    finally:
        running.end()


def test_places() -> None:
    assert location("a/b") == Path("a/b")
    place = location("s3://bucket/a/")
    assert (str(place / "b.txt"), (place / "b.txt").name, place.name) == ("s3://bucket/a/b.txt", "b.txt", "a")


def test_other_protocols_of_fsspec(tmp_path: Path) -> None:
    place = RemotePath("memory://folder/file.txt")
    place.write(b"content")
    assert place.read_text() == "content"
    assert [file.uri for file in place.parent.glob("*")] == ["memory://folder/file.txt"]
    place.fetch(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    place.parent.remove_folder()
    assert not place.exists()
    with pytest.raises(InputError, match="nonsense://: no client for this protocol"):
        RemotePath("nonsense://folder").exists()


def test_from_a_store_into_a_store(small_text: Path, store: Store, tmp_path: Path) -> None:
    text = small_text.read_bytes()
    half = text.index(b"\n\n", len(text) // 2)
    for name, content in (("raw/a.txt", text[:half]), ("raw/deep/b.txt.gz", gzip.compress(text[half:]))):
        (RemotePath(store.uri) / name).write(content)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    local, remote = tmp_path / "prepared", RemotePath(store.uri) / "prepared"
    expected = preparation_of(f"{tmp_path}/raw/**/*.txt*").run(local)
    far = preparation_of(f"{store.uri}/raw/**/*.txt*")
    manifest = far.run(remote)
    assert (manifest.train, manifest.heldout) == (expected.train, expected.heldout)
    assert len(manifest.train) > 2
    for info in (*manifest.train, *manifest.heldout):
        assert (remote / info.file).read_bytes() == (local / info.file).read_bytes()
    assert not (remote / "unfinished").exists()
    assert far.run(remote) == manifest == far.ensure(remote) == Manifest.load(remote)
    with pytest.raises(InputError, match="no object of the store matches"):
        preparation_of(f"{store.uri}/raw/*.md").run(remote)
    with pytest.raises(InputError, match="prepared otherwise"):
        replace(far, heldout_fraction=0.1).run(remote)
    with pytest.raises(InputError, match="is not empty and not a prepared corpus"):
        far.run(RemotePath(store.uri) / "raw")


def test_a_preparation_into_a_store_goes_on(small_text: Path, store: Store, tmp_path: Path) -> None:
    preparation, remote = preparation_of(str(small_text)), RemotePath(store.uri) / "stopped"

    def stop(step: str, done: int, total: int) -> None:
        if step == "writing shards" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preparation.run(remote, stop)
    assert (remote / "train-00001.arrow").exists()
    with pytest.raises(InputError, match="not a prepared corpus"):
        Manifest.load(remote)
    steps: set[tuple[str, int]] = set()

    def note(step: str, done: int, total: int) -> None:
        steps.add((step, total))

    manifest = preparation.run(remote, note)
    assert ("encoding", 0) in steps, "nothing is encoded twice"
    assert manifest == preparation.run(tmp_path / "local")


def test_a_store_that_is_gone(small_text: Path, own_store: Store) -> None:
    preparation, remote = preparation_of(str(small_text)), RemotePath(own_store.uri) / "gone"

    def stop(step: str, done: int, total: int) -> None:
        if step == "encoding" and done == 1:
            own_store.end()

    begun = time.monotonic()
    with pytest.raises(InputError, match=r"s3://.*: the store does not give or take it .* finished work is kept"):
        preparation.run(remote, stop)
    assert time.monotonic() - begun < 60
    own_store.start()
    assert preparation.run(remote).train


@pytest.mark.slow
def test_results_that_are_lost_with_their_workers_are_made_again(
    small_text: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers die between the end of a task and the moment when its result is asked for."""
    lost: list[object] = []
    fetch = DaskPool._result

    def lose(pool: DaskPool, future: object) -> object:
        if not lost:
            lost.append(future)
            for worker in cluster.workers:
                worker.kill()
                worker.wait(processes.SECONDS)
            cluster.workers = [cluster.start_worker() for _ in range(2)]
        return fetch(pool, future)

    monkeypatch.setattr("cloze.text.cluster.SECONDS_OF_A_RESULT", 0.5)
    monkeypatch.setattr(DaskPool, "_result", lose)
    expected = preparation_of(str(small_text)).run(tmp_path / "local")
    engine = DaskEngine(address=str(cluster.file), wait_seconds=60)
    assert preparation_of(str(small_text)).run(tmp_path / "shared", engine=engine) == expected
    assert lost
    assert contents(tmp_path / "shared") == contents(tmp_path / "local")


@pytest.mark.slow
def test_over_a_cluster(small_text: Path, store: Store, cluster: Cluster, tmp_path: Path) -> None:
    """Into a shared folder, and where the workers exchange through a store only, a worker killed on the way."""
    expected = preparation_of(str(small_text)).run(tmp_path / "local")
    engine = DaskEngine(address=str(cluster.file), wait_seconds=60)
    manifest = preparation_of(str(small_text)).run(tmp_path / "shared", engine=engine)
    assert manifest == expected
    assert contents(tmp_path / "shared") == contents(tmp_path / "local")

    killed: list[int] = []

    def kill(step: str, done: int, total: int) -> None:
        if step == "encoding" and done == 2 and not killed:
            killed.append(cluster.workers[0].pid)
            cluster.workers[0].kill()

    remote = RemotePath(store.uri) / "cluster"
    assert preparation_of(str(small_text)).run(remote, kill, engine=engine) == expected
    assert killed
    for info in expected.train:
        assert (remote / info.file).read_bytes() == (tmp_path / "local" / info.file).read_bytes()

    # Bad text ends it as it does here, and leaves nothing.
    (tmp_path / "bad.txt").write_bytes(small_text.read_bytes() + b"bad \xff\n")
    words = WordPiece(vocab=str(tmp_path / "local/tokenizer"))
    bad = replace(preparation_of(f"{tmp_path}/bad.txt"), tokenizer=words)
    with pytest.raises(InputError, match=r"bad.txt, line \d+: the line is not UTF-8"):
        bad.run(tmp_path / "bad", engine=engine)
    assert not (tmp_path / "bad").exists()

    # Without any worker, and without a scheduler: a sentence in time; the same call resumes.
    def kill_all(step: str, done: int, total: int) -> None:
        if step == "encoding" and done == 2:
            for worker in cluster.workers:
                worker.kill()

    short = DaskEngine(address=str(cluster.file), wait_seconds=3)
    with pytest.raises(WorkerKilledError, match="the cluster has had no worker for 3 s; start some"):
        preparation_of(str(small_text)).run(tmp_path / "alone", kill_all, engine=short)
    assert list((tmp_path / "alone" / "unfinished").glob("encoded-*.json"))
    cluster.workers.append(cluster.start_worker())
    assert preparation_of(str(small_text)).run(tmp_path / "alone", engine=engine) == expected
    assert contents(tmp_path / "alone") == contents(tmp_path / "local")
    cluster.scheduler.kill()
    with pytest.raises(WorkerKilledError, match="no dask scheduler answers there within 3 s"):
        preparation_of(str(small_text)).run(tmp_path / "nobody", engine=short)
