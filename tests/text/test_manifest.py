"""A manifest says what the corpus is, and refuses what it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloze.errors import InputError
from cloze.files.partial_output import differences
from cloze.text.manifest import MANIFEST, Manifest, ShardInfo
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, save_tokenizer, tokenizer_sha256

VOCAB = [*SPECIAL_TOKENS, "a", "b", "##b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = build_tokenizer(VOCAB)
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    Manifest(
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        vocab_size=len(VOCAB),
        config_sha256="0",
        config={"duplicates": "count", "source": {"files": "a.txt"}},
        source={"files": [{"path": "ä.txt", "bytes": 3}]},
        train=(ShardInfo(file="train-00000.arrow", documents=1, sentences=2, tokens=3),),
        heldout=(),
        unigram_entropy=0.1,
    ).save(tmp_path)
    return tmp_path


def test_round_trip(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    manifest = Manifest.load(folder)
    other = tmp_path_factory.mktemp("other")
    manifest.save(other)
    assert Manifest.load(other) == manifest
    assert (other / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="not a prepared corpus"):
            Manifest.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=0), "expected version 1, found 0"),
        (lambda content: content.pop("format"), "found None"),
        (lambda content: content.pop("vocab_size"), "not a valid manifest .*vocab_size"),
        (lambda content: content.pop("train"), "not a valid manifest .*train"),
        (lambda content: content.update(extra=1), "not a valid manifest .*extra"),
    ],
)
def test_other_versions_and_damage(folder: Path, change: Any, message: str) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        Manifest.load(folder)


def test_a_truncated_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read"):
        Manifest.load(folder)


@pytest.mark.parametrize(
    ("vocab", "lowercase", "message"),
    [
        ([*VOCAB, "c"], True, "8 tokens there, 9 here"),
        ([*SPECIAL_TOKENS, "a", "c", "##b"], True, "token 6 is 'b' there, 'c' here"),
        (VOCAB, False, "another normalisation"),
    ],
)
def test_another_tokenizer_is_refused(folder: Path, vocab: list[str], lowercase: bool, message: str) -> None:
    manifest = Manifest.load(folder)
    manifest.check_tokenizer(build_tokenizer(VOCAB), name="model", folder=folder)
    with pytest.raises(InputError, match=f"another tokenizer than model: .*{message}"):
        manifest.check_tokenizer(build_tokenizer(vocab, lowercase=lowercase), name="model", folder=folder)


def test_differences_name_the_keys() -> None:
    before = {"a": 1, "b": {"c": "x", "d": [1]}, "gone": None}
    now = {"a": 1, "b": {"c": "y", "d": [1]}, "new": True}
    assert differences(before, now) == ['b.c: was "x", is "y"', "new: was null, is true"]
