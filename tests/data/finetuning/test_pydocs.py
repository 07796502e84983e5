"""Tasks made of documentation: deterministic, nothing twice, no module in two splits, no names of libraries."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from cloze.data.finetuning.pydocs import (
    BUCKETS,
    MASKED_NAME,
    WORD,
    LibraryOfPassage,
    WrongWords,
    names_of,
    without_names,
)
from cloze.data.tables.examples import Example, TaggedExample, TextExample
from cloze.errors import InputError
from tests import processes

SMALL = ("hydra", "networkx", "rich")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def library(cache: str) -> dict[str, list[TextExample]]:
    source = LibraryOfPassage(libraries=SMALL, train_examples=60, dev_examples=9, test_examples=9, cache=cache)
    return {split: source.read(split) for split in source.splits}


@pytest.fixture(scope="module")
def wrong(cache: str) -> dict[str, list[TaggedExample]]:
    source = WrongWords(libraries=SMALL, train_examples=60, dev_examples=10, test_examples=10, cache=cache)
    return {split: source.read(split) for split in source.splits}


def module_of(example: Example) -> str:
    return example.where.partition(", line ")[0]


def test_which_library(library: dict[str, list[TextExample]]) -> None:
    counts = Counter(example.label for example in library["train"])
    assert set(counts) == set(SMALL)
    assert counts["networkx"] == 60
    for example in (example for found in library.values() for example in found):
        assert 12 <= len(example.text.split()) <= 60
        assert f"/{example.label}/" in module_of(example)


def test_wrong_words_are_some_and_not_those_of_the_docstring(wrong: dict[str, list[TaggedExample]]) -> None:
    tags = [tag for found in wrong.values() for example in found for tag in example.tags or ()]
    assert set(tags) == {"O", "B-WRONG"}
    assert 0.05 < tags.count("B-WRONG") / len(tags) < 0.13  # of the words; punctuation stays
    for example in wrong["dev"]:
        file, _, line = example.where.partition(", line ")
        lines = Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1 : int(line) + 100]
        there = {word.lower() for word in WORD.findall(" ".join(lines).replace("_", " _ "))} | {MASKED_NAME}
        right = [word for word, tag in zip(example.words, example.tags or (), strict=True) if tag == "O"]
        assert sum(word.lower() in there for word in right) > 0.9 * len(right)


def test_no_module_and_no_text_is_in_two_splits(
    library: dict[str, list[TextExample]], wrong: dict[str, list[TaggedExample]]
) -> None:
    texts = [example.text for found in library.values() for example in found]
    assert len(set(texts)) == len(texts)
    for task in (library, wrong):
        values = [{module_of(example) for example in found} for found in task.values()]
        assert not values[0] & values[1]
        assert not values[0] & values[2]
        assert not values[1] & values[2]


def test_names_of_libraries_are_hidden(library: dict[str, list[TextExample]]) -> None:
    names = names_of(["torch", "numpy"])
    assert without_names("Uses NumPy's np.array; PyTorch-like, nxt torchvision (plt).", names) == (
        "Uses package package package nxt package package"
    )
    for example in (example for found in library.values() for example in found):
        assert not any(name in example.text.lower() for name in SMALL)


def test_every_run_has_the_same_examples(
    library: dict[str, list[TextExample]], wrong: dict[str, list[TaggedExample]], cache: str, tmp_path: Path
) -> None:
    program = (
        "import sys; from cloze.data.finetuning.pydocs import LibraryOfPassage\n"
        f"source = LibraryOfPassage(libraries={SMALL}, train_examples=60, dev_examples=9, test_examples=9,"
        " cache=sys.argv[1])\n"
        "print([example.text for split in source.splits for example in source.read(split)] )"
    )
    texts = [example.text for found in library.values() for example in found]
    for folder in (cache, str(tmp_path)):  # from the cache, and anew
        command = [sys.executable, "-c", program, folder]
        assert processes.run(command, check=True).stdout.strip() == repr(texts)
    assert {file.name for file in tmp_path.iterdir()} < {file.name for file in Path(cache).iterdir()}


def test_libraries_that_are_not_installed(tmp_path: Path) -> None:
    settings = {"train_examples": 2, "dev_examples": 1, "test_examples": 1}
    source = LibraryOfPassage(libraries=["absent_1", "hydra", "rich"], cache=str(tmp_path), **settings)
    assert {example.label for example in source.read("train")} == {"hydra", "rich"}
    assert source.counts["libraries left out, since they are not installed: absent_1"] == 1
    with pytest.raises(InputError, match="of absent_1, rich fewer than two are installed"):
        LibraryOfPassage(libraries=["absent_1", "rich"], cache=str(tmp_path)).read("train")


def test_most_modules_are_for_training() -> None:
    assert Counter(BUCKETS) == {"train": 6, "dev": 1, "test": 1}
