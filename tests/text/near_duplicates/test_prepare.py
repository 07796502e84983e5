"""Near-duplicates in a preparation: the rule by brute force, real text with planted copies, interruptions."""

import json
import random
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.manifest import Prepared, folder_name
from cloze.text.near_duplicates import search
from cloze.text.near_duplicates.signatures import banding, in_bands, signature
from cloze.text.prepare import Preparation
from cloze.text.progress import ReportsProgress
from cloze.text.report import load_report
from cloze.text.sentences import Lines
from cloze.text.shards import read_shard
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece
from tests.text.near_duplicates.test_signatures import copy_of, jaccard, ngrams

WORDS = [f"w{number}" for number in range(30)]


def documents_of(folder: Path, pattern: str) -> list[list[int]]:
    return [
        shard.tokens[shard.sentence_offsets[first] : shard.sentence_offsets[last]].tolist()
        for shard in [read_shard(path) for path in sorted(folder.glob(pattern))]
        for first, last in pairwise(shard.document_offsets)
    ]


def bytes_of(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return found | {"report.json": json.dumps(json.loads(found["report.json"])["near_duplicates"]).encode()}


@cache
def signature_of(text: str, shingle: int) -> np.ndarray:
    return signature([text], shingle)


def plain_rule(documents: list[list[str]], first: list[bool], threshold: float, shingle: int) -> list[int]:
    """The verdict on each document; held-out ones are `first`."""
    split = banding(threshold)
    banded = in_bands([signature_of(" ".join(each), shingle) for each in documents], split)

    def similar(one: int, other: int) -> bool:
        agreeing = banded[:, one] == banded[:, other]
        return bool(agreeing.all(axis=1).any() and agreeing.sum() >= threshold * agreeing.size)

    rank = {number: (not first[number], number) for number in range(len(documents))}
    verdicts = []
    for number in range(len(documents)):
        near = [other for other in rank if rank[other] < rank[number] and similar(other, number)]
        verdicts.append(0 if not near else 2 if any(first[other] for other in near) else 1)
    return verdicts


@settings(deadline=None, max_examples=8, phases=[Phase.generate])
@given(
    seed=st.integers(0, 1 << 20),
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
    heldout=st.booleans(),
    compared=st.sampled_from([2, 256]),
    unit=st.sampled_from([0.0002, 1.0]),
)
def test_against_the_plain_rule(
    seed: int, threshold: float, heldout: bool, compared: int, unit: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    documents: list[list[str]] = []
    for _ in range(30):
        words = list(rng.choice(documents)) if documents and rng.random() < 0.6 else rng.choices(WORDS, k=20)
        words[rng.randrange(20)] = rng.choice(WORDS)
        documents.append(words)
    folder = tmp_path_factory.mktemp("near")
    for name, some in (("test", documents[:6]), ("train", documents[6:])):
        (folder / f"{name}.txt").write_text("\n".join(map(" ".join, some)) + "\n", encoding="utf-8")
    (folder / "vocab").write_text("\n".join([*SPECIAL_TOKENS, *WORDS]) + "\n", encoding="utf-8")
    preparation = Preparation(
        source=TextFiles(files=str(folder / "*.txt"), document_boundary="line", unit_megabytes=unit),
        sentences=Lines(),
        tokenizer=WordPiece(vocab=str(folder / "vocab")),
        near_duplicates=threshold,
        shingle=2,
        heldout_files=str(folder / "test.txt") if heldout else None,
        heldout_fraction=None if heldout else 0.2,
        task_megabytes=unit,
        shard_tokens=100,
        workers=0,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "COMPARED", compared)
        preparation.run(folder / "corpus")
    ids = [[len(SPECIAL_TOKENS) + WORDS.index(word) for word in words] for words in documents]
    train, held = (documents_of(folder / "corpus", f"{part}-*.arrow") for part in ("train", "heldout"))
    if heldout:
        verdicts = plain_rule(documents, [number < 6 for number in range(30)], threshold, 2)
        verdicts[:6] = [0] * 6
        assert held == ids[:6]
        assert train == [words for words, verdict in zip(ids[6:], verdicts[6:], strict=True) if not verdict]
    else:
        kept = [[WORDS[token - len(SPECIAL_TOKENS)] for token in words] for words in (*held, *train)]
        assert not any(plain_rule(kept, [False] * len(kept), threshold, 2))
        dropped = [words for words in documents if words not in kept]
        others = [[other for other in documents if other != words] for words in dropped]
        assert all(
            plain_rule([*some, words], [False] * (len(some) + 1), threshold, 2)[-1]
            for some, words in zip(others, dropped, strict=True)
        )
    found = load_report(folder / "corpus")["near_duplicates"]
    assert found["documents"] == len(ids) - len(train) - len(held)
    if heldout:
        assert found == {"threshold": threshold, "documents": sum(map(bool, verdicts)), "of_heldout": verdicts.count(2)}


@pytest.fixture(scope="module")
def planted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Preparation, list[str]]:
    """Paragraphs of WikiText-2, every third of them followed, somewhere, by a copy with some other words."""
    text = (shared_data / "corpus/wikitext2/test.txt").read_text(encoding="utf-8")
    rng = random.Random(2)
    lines = [line.strip() for line in text.splitlines() if len(line.split()) > 80][:300]
    copies = [copy_of(line, 1 + index % 8, rng) for index, line in enumerate(lines[::3])]
    folder = tmp_path_factory.mktemp("planted")
    rng.shuffle(copies)
    (folder / "text.txt").write_text("\n".join(lines + copies) + "\n", encoding="utf-8")
    preparation = Preparation(
        source=TextFiles(files=str(folder / "text.txt"), document_boundary="line", unit_megabytes=0.05),
        sentences=Lines(),
        tokenizer=WordPiece(vocab=str(shared_data / "vocab/bert-base-uncased-vocab.txt")),
        near_duplicates=0.8,
        heldout_fraction=0.05,
        task_megabytes=0.05,
        shard_tokens=20_000,
        workers=0,
    )
    return preparation, lines + copies


@pytest.fixture(scope="module")
def undisturbed(planted: tuple[Preparation, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "corpus"
    planted[0].run(folder)
    return folder


def test_planted_copies_go_and_nothing_else(planted: tuple[Preparation, list[str]], undisturbed: Path) -> None:
    """A document is dropped as its exact similarity to another says, but for those about the threshold."""
    _, lines = planted
    found = load_report(undisturbed)["near_duplicates"]
    grams = [ngrams(line) for line in lines]
    originals, copies = range(300), range(300, len(lines))
    nearest = np.array([max(jaccard(grams[copy], grams[other]) for other in originals) for copy in copies])
    clear, none = int((nearest >= 0.88).sum()), int((nearest >= 0.7).sum())
    assert clear > 10
    assert clear <= found["documents"] <= none
    assert 0 < found["of_heldout"] < found["documents"]
    kept = documents_of(undisturbed, "*-*.arrow")
    assert len(kept) == len(lines) - found["documents"]
    sets = [{tuple(words[begin : begin + 5]) for begin in range(len(words) - 4)} for words in kept]
    assert all(jaccard(one, other) < 0.9 for index, one in enumerate(sets) for other in sets[:index] if one and other)


def stopping(where: str, at: int) -> ReportsProgress:
    """Interrupts a preparation once so many tasks of a step are done."""

    def report(step: str, done: int, total: int) -> None:
        if step == where and done >= at:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_interruptions_change_nothing(
    planted: tuple[Preparation, list[str]], undisturbed: Path, workers: int, tmp_path: Path
) -> None:
    preparation = replace(planted[0], workers=workers)
    stops = (("encoding", 2), ("comparing documents", 5), ("comparing documents", 9), ("writing shards", 1))
    for step, at in stops if workers == 0 else stops[1:2]:
        with pytest.raises(KeyboardInterrupt):
            preparation.run(tmp_path / "corpus", stopping(step, at))
    preparation.run(tmp_path / "corpus")
    assert bytes_of(tmp_path / "corpus") == bytes_of(undisturbed)


def test_lines_of_dropped_documents_do_not_make_others_duplicates(tmp_path: Path) -> None:
    """A line that stands in a dropped copy and in a later document stays in that."""
    first = [f"{word} begins a sentence of this text" for word in WORDS]
    documents = [first, [*first, "a new line"], ["a new line", "and another"], first]
    (tmp_path / "text.txt").write_text("\n\n".join(map("\n".join, documents)) + "\n", encoding="utf-8")
    vocab = sorted({word for document in documents for line in document for word in line.split()})
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *vocab]) + "\n", encoding="utf-8")
    preparation = Preparation(
        source=TextFiles(files=str(tmp_path / "text.txt")),
        sentences=Lines(),
        tokenizer=WordPiece(vocab=str(tmp_path / "vocab.txt")),
        near_duplicates=0.8,
        duplicates="remove",
        heldout_fraction=0.0,
        workers=0,
    )
    preparation.run(tmp_path / "corpus")
    ids = {word: len(SPECIAL_TOKENS) + index for index, word in enumerate(vocab)}
    kept = [documents[0], documents[2]]
    expected = [[ids[word] for line in document for word in line.split()] for document in kept]
    assert documents_of(tmp_path / "corpus", "train-*.arrow") == expected
    assert load_report(tmp_path / "corpus")["near_duplicates"] == {"threshold": 0.8, "documents": 2, "of_heldout": 0}


def test_another_corpus_and_one_without_training_text(
    planted: tuple[Preparation, list[str]], undisturbed: Path
) -> None:
    preparation, lines = planted
    without = replace(preparation, near_duplicates=None)
    others = [without, preparation, replace(preparation, near_duplicates=0.7), replace(preparation, shingle=4)]
    assert len({folder_name("text", Prepared(each.config(), each.fingerprint())) for each in others}) == 4
    assert not {"near_duplicates", "shingle"} & without.config().keys()
    with pytest.raises(InputError, match=r"near_duplicates: was 0.8, is 0.7"):
        replace(preparation, near_duplicates=0.7).run(undisturbed)
    folder = undisturbed.parent
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"{name} {lines[0]}\n", encoding="utf-8")
    own = replace(
        preparation,
        source=TextFiles(files=str(folder / "*.txt")),
        heldout_files=str(folder / "b.txt"),
        heldout_fraction=None,
    )
    with pytest.raises(InputError, match="every document of the training text is a near-duplicate of one in"):
        own.run(folder / "none")
    assert not (folder / "none").exists()
