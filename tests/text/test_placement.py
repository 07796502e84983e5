import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloze.errors import InputError
from cloze.text.prepare import Preparation
from cloze.text.sentences import Lines
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece


@pytest.fixture
def own(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> Preparation:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(small_text.read_text())
    words = WordPiece(vocab_size=100)
    return Preparation(source=TextFiles(files="*.txt"), sentences=Lines(), tokenizer=words, workers=0)


def test_a_folder_is_named_after_all_that_decides_what_is_written(own: Preparation) -> None:
    others = [
        replace(own, tokenizer=WordPiece(vocab_size=110)),
        replace(own, duplicates="remove"),
        replace(own, heldout_fraction=0.2),
        replace(own, source=TextFiles(files="*.txt", document_boundary="line")),
    ]
    names = {one.place("text") for one in [own, *others]}
    assert len(names) == 5
    assert all(name.parent == Path("data") and name.name.startswith("text-") for name in names)
    assert own.place("notes").name.removeprefix("notes") == own.place("text").name.removeprefix("text")
    assert replace(own, workers=3).place("text") == own.place("text")


@pytest.mark.parametrize("wholly_hashed", [0, 1 << 20])
def test_content_and_not_the_path_tells_a_text(
    own: Preparation, wholly_hashed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloze.text.sources.files.WHOLLY_HASHED", wholly_hashed)
    before = own.place("text")
    Path("moved").mkdir()
    Path("text.txt").rename("moved/other.txt")
    moved = replace(own, source=TextFiles(files=["moved/other.txt"]))
    assert moved.place("text") == before
    stat, text = Path("moved/other.txt").stat(), Path("moved/other.txt").read_text()
    Path("moved/other.txt").write_text(text[:-2] + "!" + text[-1])  # the same size at the same second
    os.utime("moved/other.txt", (stat.st_atime, stat.st_mtime))
    assert moved.place("text") != before
    Path("moved/other.txt").write_text(text)
    os.utime("moved/other.txt", (0, 0))
    assert (moved.place("text") == before) == (wholly_hashed > 0)


def test_a_finished_corpus_is_found_whatever_its_name(own: Preparation, tmp_path: Path) -> None:
    own.run(tmp_path / "data/mine")
    assert own.place("text") == Path("data/mine")
    Path("data/broken").mkdir()
    Path("data/broken/manifest.json").write_text("{")
    assert own.place("text") == Path("data/mine")
    own.run(tmp_path / "data/mine-too")
    Path("text.txt").unlink()
    with pytest.raises(InputError, match="the text is not at hand, and data/mine, data/mine-too were all prepared"):
        own.place("text")
    (tmp_path / "data/mine/manifest.json").unlink()
    assert own.place("text") == Path("data/mine-too")
    with pytest.raises(InputError, match="no file matches"):
        replace(own, heldout_fraction=0.1).place("text")


def test_a_stopped_preparation_is_gone_on_with_where_the_files_are_now(own: Preparation, tmp_path: Path) -> None:
    folder = own.place("text")
    whole = own.run(tmp_path / folder)
    (tmp_path / folder / "manifest.json").unlink()
    (tmp_path / folder / "unfinished").mkdir()
    Path("moved").mkdir()
    Path("text.txt").rename("moved/text.txt")
    moved = replace(own, source=TextFiles(files="moved/*.txt"))
    assert moved.place("text") == folder
    assert moved.run(tmp_path / folder).train == whole.train
