"""Fixtures that several folders of tests share."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.command import Command
from tests.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]

# Compiling, and another job on the machine, make the first example slow.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: `$CLOZE_DATA`, else `../shared/data` beside the checkout; without it, skip."""
    folder = Path(os.environ.get("CLOZE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is no folder (set CLOZE_DATA)")
    return folder


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of 120 documents whose words follow each other by a rule, so that there is something to learn."""
    numbers = random.Random(1)
    words = ["the", "quick", "file", "returns", "one", "small", "object", "and", "then", "reads", "another", "list"]
    documents = []
    for _ in range(120):
        sentences = []
        for _ in range(numbers.randint(3, 8)):
            start, length = numbers.randrange(len(words)), numbers.randint(5, 12)
            sentence = " ".join(words[(start + i) % len(words)] for i in range(length))
            sentences.append(sentence.capitalize() + ".")
        documents.append("\n".join(sentences))
    file = tmp_path_factory.mktemp("text") / "small.txt"
    file.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def train(tmp_path: Path) -> Command:
    """Runs `python train.py ...` in `tmp_path`, as a user would."""
    return _command("train.py", tmp_path)


@pytest.fixture
def finetune(tmp_path: Path) -> Command:
    """Runs `python finetune.py ...` in `tmp_path`, as a user would."""
    return _command("finetune.py", tmp_path)


def _command(script: str, folder: Path) -> Command:
    def run(*words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(REPOSITORY / script), *words]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}  # for callbacks that tests bring along
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


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
    yield running
    running.end()


@pytest.fixture
def own_store(store: Store) -> Iterator[Store]:
    """The store of all tests, for one that ends it or makes it fall silent: it is well again afterwards."""
    yield store
    store.end()
    store.start()
