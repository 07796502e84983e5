"""Tasks based on the documentation installed with Python, without a download.

Whole modules go to train, dev or test, by a hash of their path, and no passage comes twice. Pre-training on the same
documentation has seen the text, but not a label.
"""

import hashlib
import inspect
import itertools
import json
import random
import re
import sys
import sysconfig
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from cloze.data.tables.examples import Example, TaggedExample, TextExample
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.text.sources.docstrings import paragraphs
from cloze.text.sources.pydocs import PythonDocs, module_docstrings

E = TypeVar("E", bound=Example)

STANDARD_LIBRARY = "python"
LIBRARIES = (
    *("lightning", "matplotlib", "networkx", "numba", "numpy", STANDARD_LIBRARY, "sympy", "torch", "torchmetrics"),
    "wandb",
)
SPLITS = ("train", "dev", "test")
BUCKETS = (*["train"] * 6, "dev", "test")  # of the modules
MODULE_PASSAGES = 8
"""Passages of a module at most, so that the large ones do not outweigh the others."""

SHORT_NAMES = r"pyplot|python|\b(?:mpl|np|nx|plt)\b"
MASKED_NAME = "package"
WORD = re.compile(r"\w+|[^\w\s]")


class Passage(NamedTuple):
    """The prose of a docstring, paragraph by paragraph, without the names of libraries."""

    library: str
    where: str
    paragraphs: tuple[str, ...]


@dataclass(kw_only=True)
class PydocsTask(ABC, Generic[E]):
    """Examples from the docstrings of some libraries; those not installed are left out and counted.

    Attributes:
        libraries: top-level packages; ``python`` is the standard library.
        train_examples: of each library, or fewer where it has fewer.
        dev_examples: of each library.
        test_examples: of each library.
        min_words: of a passage.
        max_words: after which a passage is truncated; where words are tagged, punctuation counts.
        cache: the folder that keeps the passages for the next run, since reading the modules takes some ten seconds.
        counts: libraries and passages that were left out.
    """

    libraries: Sequence[str] = LIBRARIES
    train_examples: int = 400
    dev_examples: int = 100
    test_examples: int = 100
    min_words: int
    max_words: int
    cache: str = "data/pydocs_tasks"
    counts: Counter[str] = field(default_factory=Counter, init=False)
    _passages: dict[str, list[Passage]] = field(default_factory=dict, init=False, repr=False)

    @property
    def splits(self) -> list[str]:
        """All three."""
        return list(SPLITS)

    def read(self, split: str) -> list[E]:
        """The examples of a split, libraries by turns.

        Raises:
            InputError: fewer than two of the libraries are installed.
        """
        if not self._passages:
            file = self._file()
            if not file.exists():
                self._write(file)
            content = read_json(file)
            self.counts.update(content["counts"])
            self._passages = {split: [Passage(*fields) for fields in content[split]] for split in SPLITS}
        return list(self.examples(self._passages[split]))

    def _file(self) -> Path:
        """Named after all that the examples depend on."""
        settings = {name: value for name, value in vars(self).items() if name not in ("cache", "counts", "_passages")}
        code = [inspect.getsource(sys.modules[module]) for module in (__name__, paragraphs.__module__)]
        depends = [type(self).__name__, settings, code, PythonDocs().fingerprint(), sys.prefix]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
        return Path(self.cache, f"{digest[:16]}.json")

    def _write(self, file: Path) -> None:
        counts: Counter[str] = Counter()
        content = {"counts": counts, **self._collect(counts)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(content, ensure_ascii=False).encode())

    @abstractmethod
    def examples(self, passages: Sequence[Passage]) -> Iterator[E]:
        """The examples of a split's passages."""

    def _collect(self, counts: Counter[str]) -> dict[str, list[Passage]]:
        sizes = {"train": self.train_examples, "dev": self.dev_examples, "test": self.test_examples}
        by_turns: dict[str, list[list[Passage]]] = {split: [] for split in SPLITS}
        seen: set[str] = set()
        for library, modules in _modules(self.libraries).items():
            if not modules:
                counts[f"libraries left out, since they are not installed: {library}"] += 1
                continue
            for split in SPLITS:
                passages = self._unseen(library, [path for path, of in modules if of == split], seen, counts)
                by_turns[split].append(list(itertools.islice(passages, sizes[split])))
        if len(by_turns["train"]) < 2:
            raise InputError(f"task.data.libraries: of {', '.join(self.libraries)} fewer than two are installed")
        return {
            split: [passage for turn in itertools.zip_longest(*lists) for passage in turn if passage is not None]
            for split, lists in by_turns.items()
        }

    def _unseen(self, library: str, modules: Iterable[Path], seen: set[str], counts: Counter[str]) -> Iterator[Passage]:
        """Passages of modules, none with a paragraph that has come before."""
        for path in modules:
            yield from itertools.islice(self._unseen_in(library, path, seen, counts), MODULE_PASSAGES)

    def _unseen_in(self, library: str, path: Path, seen: set[str], counts: Counter[str]) -> Iterator[Passage]:
        names = names_of(self.libraries)
        for line, docstring in module_docstrings(path) or ():
            masked = tuple(without_names(text, names) for text in paragraphs(docstring))
            if sum(len(text.split()) for text in masked) < self.min_words:
                continue
            if seen.intersection(masked):
                counts["passages left out that equal another"] += 1
                continue
            seen.update(masked)
            yield Passage(library, f"{path}, line {line}", masked)


@dataclass(kw_only=True)
class LibraryOfPassage(PydocsTask[TextExample]):
    """Which library a passage of its documentation comes from."""

    min_words: int = 12
    max_words: int = 60

    def examples(self, passages: Sequence[Passage]) -> Iterator[TextExample]:
        """One a passage."""
        for number, passage in enumerate(passages):
            words = " ".join(passage.paragraphs).split()[: self.max_words]
            yield TextExample(id=str(number), where=passage.where, text=" ".join(words), label=passage.library)


@dataclass(kw_only=True)
class WrongWords(PydocsTask[TaggedExample]):
    """Which words of a passage do not belong there: some have been put in place of others, at random.

    The discriminator's question of ELECTRA (Clark et al. 2020, section 2) with labels for everyone to see. What a
    masked language model has learned answers it; counts of words do not.

    Attributes:
        share: of the words that are replaced, by words of other passages.
        seed: of the replacements.
    """

    train_examples: int = 700
    dev_examples: int = 60
    test_examples: int = 60
    min_words: int = 8
    max_words: int = 40
    share: float = 0.12
    seed: int = 1

    def examples(self, passages: Sequence[Passage]) -> Iterator[TaggedExample]:
        """One a passage; the tag of a word that was put there is B-WRONG."""
        texts = [WORD.findall(" ".join(passage.paragraphs))[: self.max_words] for passage in passages]
        others = [word for words in texts for word in words if word.isalpha() and word != MASKED_NAME]
        draw = random.Random(self.seed).random
        for number, (passage, words) in enumerate(zip(passages, texts, strict=True)):
            shown, tags = list(words), ["O"] * len(words)
            for place, word in enumerate(words):
                if word.isalpha() and draw() < self.share:
                    shown[place] = others[int(draw() * len(others))]
                    tags[place] = "O" if shown[place].lower() == word.lower() else "B-WRONG"
            yield TaggedExample(
                id=str(number), where=passage.where, words=tuple(shown), tags=tuple(tags), document=number
            )


def names_of(libraries: Iterable[str]) -> re.Pattern[str]:
    """What would give a library away: its name, and the usual short names."""
    return re.compile("|".join([*map(re.escape, libraries), SHORT_NAMES]), re.IGNORECASE)


def without_names(text: str, names: re.Pattern[str]) -> str:
    """The text with another word in place of those that hold a name."""
    return " ".join(MASKED_NAME if names.search(word) else word for word in text.split())


def _modules(libraries: Sequence[str]) -> dict[str, list[tuple[Path, str]]]:
    """The modules of each library with their splits, in an order that does not follow the alphabet."""
    keyed: dict[str, list[tuple[int, Path]]] = {library: [] for library in libraries}
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    standard = Path(sysconfig.get_path("stdlib"))
    for path in (Path(unit.path) for unit in PythonDocs().units()):
        root = next((root for root in installed if path.is_relative_to(root)), standard)
        name = path.relative_to(root)
        library = STANDARD_LIBRARY if root == standard else name.parts[0]
        if library in keyed:
            digest = hashlib.sha256(name.as_posix().encode()).digest()
            keyed[library].append((int.from_bytes(digest[:8], "big"), path))
    return {
        library: [(path, BUCKETS[key % len(BUCKETS)]) for key, path in sorted(found)]
        for library, found in keyed.items()
    }
