"""Training from an object store through a bounded cache: the same batches, nothing fetched twice, nothing hangs."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
import torch

from cloze.data.cache import ShardCache
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.files.remote import location
from cloze.text.manifest import Manifest
from cloze.text.prepare import Preparation
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece
from tests import processes
from tests.store import Store


@pytest.fixture(scope="module")
def corpus(small_text: Path, tmp_path_factory: pytest.TempPathFactory, store: Store) -> tuple[Path, str]:
    """The same prepared corpus of many shards on this machine and on the store."""
    folder = tmp_path_factory.mktemp("corpus") / "prepared"
    Preparation(
        source=TextFiles(files=str(small_text), unit_megabytes=0.003),
        sentences=English(),
        tokenizer=WordPiece(vocab_size=120),
        heldout_fraction=0.2,
        shard_tokens=1000,
        task_megabytes=0.003,
        workers=0,
    ).run(folder)
    shutil.copytree(folder, store.folder / "bucket" / "corpus")
    return folder, f"{store.uri}/corpus"


def data_of(folder: Path | str, **options: Any) -> PretrainingData:
    objective = MaskedLM(pairs="next_sentence", max_length=32)
    data = PretrainingData(folder=folder, objective=objective, batch_tokens=128, **options)
    data.setup()
    return data


def flat(batches: Iterable[Any]) -> list[torch.Tensor]:
    return [tensor for batch in batches for tensor in (batch.packed.input_ids, batch.masked_positions)]


def shards_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


def bytes_in(folder: Path) -> int:
    """Of all shards, some of which may go while they are counted."""
    total = 0
    for path in shards_in(folder):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.mark.parametrize("shuffle_shards", [1, 2])
def test_equal_batches_within_the_bound(
    corpus: tuple[Path, str], tmp_path: Path, store: Store, shuffle_shards: int
) -> None:
    local = data_of(corpus[0], shuffle_shards=shuffle_shards)
    infos = local.manifest.train
    largest = max(info.bytes or 0 for info in (*infos, *local.manifest.heldout))
    assert len(infos) >= 4
    bound = (2 * shuffle_shards + 0.5) * largest / 1e9
    steps = 2 * local.batches_in_epochs(1)
    expected = flat(islice(local.train_dataloader(), steps))
    for workers in (0, 2):
        cache = tmp_path / f"cache{workers}"
        remote = data_of(
            corpus[1], cache=cache, cache_gigabytes=bound, num_workers=workers, shuffle_shards=shuffle_shards
        )
        found = []
        for batch in islice(remote.train_dataloader(), steps):
            found += flat([batch])
            assert bytes_in(cache) <= 4 * shuffle_shards * largest  # in use here, in workers
        assert len(found) == len(expected)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        assert all(
            torch.equal(one, other)
            for one, other in zip(*(flat(chain(*data.val_dataloader())) for data in (remote, local)), strict=True)
        )


def test_processes_fetch_each_shard_once(corpus: tuple[Path, str], tmp_path: Path, store: Store) -> None:
    infos = Manifest.load(corpus[0]).train[:3]
    code = (
        "import sys; from pathlib import Path; from cloze.data.cache import ShardCache; "
        "from cloze.text.manifest import Manifest; from cloze.files.remote import location; "
        "cache = ShardCache(location(sys.argv[2]), Path(sys.argv[3]), 1.0); "
        "[cache.lease(info) for info in Manifest.load(Path(sys.argv[1])).train[:3]]"
    )
    command = [sys.executable, "-c", code, str(corpus[0]), corpus[1], str(tmp_path / "cache")]
    before = [store.requests(f"GET /bucket/corpus/{info.file} ") for info in infos]
    with ExitStack() as running:
        three = [running.enter_context(processes.started(command)) for _ in range(3)]
        assert [process.wait(processes.SECONDS) for process in three] == [0, 0, 0]
    after = [store.requests(f"GET /bucket/corpus/{info.file} ") for info in infos]
    # Three processes; the store's client itself may ask a second time when the machine is busy.
    assert all(1 <= now - then <= 2 for now, then in zip(after, before, strict=True))
    assert len(shards_in(tmp_path / "cache")) == 3


def test_what_is_used_stays_and_the_oldest_goes(corpus: tuple[Path, str], tmp_path: Path) -> None:
    infos = Manifest.load(corpus[0]).train
    sizes = [info.bytes or 0 for info in infos]
    cache = ShardCache(corpus[0], tmp_path, (sizes[0] + sizes[1] + sizes[2] // 2) / 1e9)
    first = cache.lease(infos[0])
    cache.lease(infos[1])
    (tmp_path / ".killed.arrow").write_bytes(b"half")
    cache.lease(infos[2])
    assert {path.stem for path in shards_in(tmp_path)} == {infos[0].sha256, infos[2].sha256}
    assert not (tmp_path / ".killed.arrow").exists()
    assert first.path.exists()
    del first
    cache.lease(infos[3])
    assert infos[0].sha256 not in {path.stem for path in shards_in(tmp_path)}
    cache.fetch_ahead([infos[1]])
    processes.wait_until((tmp_path / f"{infos[1].sha256}.arrow").exists)


def test_a_bad_store_is_told_in_time(corpus: tuple[Path, str], tmp_path: Path, own_store: Store) -> None:
    infos = Manifest.load(corpus[0]).train
    cache = ShardCache(location(corpus[1]), tmp_path, 1.0, seconds=5)
    here = own_store.folder / "bucket" / "corpus"
    whole = (here / infos[0].file).read_bytes()
    (here / infos[0].file).write_bytes(whole[:-1] + b"?")
    with pytest.raises(InputError, match=r"train-00000.arrow: is not the shard of the manifest"):
        cache.lease(infos[0])
    (here / infos[0].file).unlink()
    with pytest.raises(InputError, match=r"train-00000.arrow: does not exist; .*still has it"):
        cache.lease(infos[0])
    (here / infos[0].file).write_bytes(whole)
    own_store.freeze()
    begun = time.monotonic()
    with pytest.raises(InputError, match="did not come within 5 s"):
        cache.lease(infos[0])
    own_store.thaw()
    assert time.monotonic() - begun < 20
    own_store.end()
    with pytest.raises(InputError, match="see whether the store answers"):
        ShardCache(location(corpus[1]), tmp_path, 1.0).lease(infos[0])
    assert not shards_in(tmp_path)
    with pytest.raises(InputError, match="expected at least"):
        ShardCache(location(corpus[1]), tmp_path, 1e-9).check(infos, 1)
