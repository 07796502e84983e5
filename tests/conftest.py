"""Fixtures that several folders of tests share."""

import faulthandler
import gc
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import forks, processes
from tests import small_text as text
from tests.command import Command
from tests.kinds import KINDS, save
from tests.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]
_STDERR = pytest.StashKey[int]()

# Compiling, and another job on the machine, make the first example slow. Each run of `make test` has the same examples,
# `make test-long` has others each time, by the profile "free".
UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fixed", derandomize=True, **UNHURRIED)  # type: ignore[arg-type]
settings.register_profile("free", **UNHURRIED)  # type: ignore[arg-type]
settings.load_profile("fixed")

LIMIT, LONG = 600.0, 3600.0
"""Seconds that a test may take, and one that is marked as long; on two free cores none of the first takes a fifth."""
LATER = float(os.environ.get("CLOZE_TESTS_LATER", "60"))
"""Seconds after which a test that could not be stopped ends its process."""


def pytest_configure(config: pytest.Config) -> None:
    """What each process of the session does first."""
    config.addinivalue_line("markers", "timeout(seconds): a limit of its own; held by pytest-timeout")
    processes.as_from_a_shell()
    processes.adopt_orphans()
    config.stash[_STDERR] = os.dup(2)  # which is not yet captured


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test has a limit."""
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG if item.get_closest_marker("long") else LIMIT))


def pytest_collection_finish() -> None:
    """What has been imported, and thousands of tests, stay: the garbage collector need not go over them again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The last resort, where pytest-timeout's exception is not heard, in a library's own code: all threads, the end.

    xdist then names the test, and goes on in a new process.
    """
    marker = item.get_closest_marker("timeout")
    assert marker is not None
    _seed()
    faulthandler.dump_traceback_later(marker.args[0] + LATER, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _seed() -> None:
    """What a test draws without a seed of its own does not depend on the tests before it."""
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Nothing outlives the session."""
    forks.close()
    processes.end_all(processes.own_children)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    """But for servers, which were there before."""
    before = processes.children()
    yield
    processes.end_all(lambda: processes.own_children() - before)


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of small files after real reports, `../shared/cases` next to the checkout; without it, skip."""
    folder = REPOSITORY.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases: {folder} is no folder")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: `$CLOZE_DATA`, else `../shared/data` next to the checkout; without it, skip."""
    folder = Path(os.environ.get("CLOZE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is no folder (set CLOZE_DATA)")
    return folder


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of 120 documents with something to learn."""
    file = tmp_path_factory.mktemp("text") / "small.txt"
    file.write_text(text.small_text(), encoding="utf-8")
    return file


@pytest.fixture
def train(tmp_path: Path) -> Command:
    """`python train.py ...` in `tmp_path`, in a fork of a process that has everything imported."""
    return lambda *words: forks.run("train.py", *words, cwd=tmp_path)


@pytest.fixture
def finetune(tmp_path: Path) -> Command:
    """`python finetune.py ...` in `tmp_path`, in a fork of a process that has everything imported."""
    return lambda *words: forks.run("finetune.py", *words, cwd=tmp_path)


@pytest.fixture
def shell_train(tmp_path: Path) -> Command:
    """`python train.py ...` in `tmp_path`, in a process of its own, as a user starts it."""
    return lambda *words: _process("train.py", *words, folder=tmp_path)


@pytest.fixture
def shell_finetune(tmp_path: Path) -> Command:
    """`python finetune.py ...` in `tmp_path`, in a process of its own, as a user starts it."""
    return lambda *words: _process("finetune.py", *words, folder=tmp_path)


def _process(script: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / script), *words]
    return processes.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/src"})


@pytest.fixture(scope="session")
def small_corpus(small_text: Path) -> list[str]:
    """The words of a command line that trains on `small_text`, prepared once for all tests of a process."""
    return [
        "corpus=text",
        f"corpus.files={small_text}",
        f"corpus.prepared={small_text.parent / 'prepared'}",
        "tokenizer.vocab_size=120",
        "preparation.heldout_fraction=0.1",
        "preparation.workers=0",
        "callbacks.samples.sentences=['the quick [MASK] returns']",
    ]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An object store; the environment of this process leads to it from now on."""
    running = Store(tmp_path_factory.mktemp("store") / "data")
    os.environ.update(running.environment)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def own_store(store: Store) -> Iterator[Store]:
    """The store of all tests, for one that ends it or makes it fall silent: it is well again afterwards."""
    yield store
    store.end()
    store.start()


@pytest.fixture(scope="session")
def kind_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tokenizers of every kind, trained on the small text."""
    place, lines = tmp_path_factory.mktemp("kinds"), text.small_text().splitlines()
    return {kind: save(kind, make(lines), place / kind) for kind, make in KINDS.items()}
