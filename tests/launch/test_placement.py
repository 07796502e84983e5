"""Where the corpus of a run lies when nobody has named a folder: runs do not collide, and find theirs again."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.command import Command
from tests.launch.test_pretraining import rows

SHORT = [
    *("corpus=text", "tokenizer.vocab_size=120", "preparation.workers=0", "model=tiny", "model.hidden_size=16"),
    *("model.intermediate_size=16", "objective.max_length=32", "data.batch_tokens=256", "trainer.max_steps=4"),
    *("trainer.log_every=1", "checkpoint.every_steps=2"),
]


@pytest.fixture
def texts(small_text: Path, tmp_path: Path) -> Path:
    """`books/` and `notes/`, with a text each."""
    for name in ("books", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").write_text(f"{name.capitalize()} begin here.\n\n{small_text.read_text()}")
    return tmp_path


def corpora(folder: Path) -> set[str]:
    return {path.name for path in (folder / "data").glob("*")}


def corpus_of(folder: Path, run: str) -> str:
    config = yaml.safe_load((folder / "runs" / run / "config.yaml").read_text())
    assert config["data"]["folder"] == config["corpus"]["prepared"]
    return str(config["corpus"]["prepared"])


def test_two_corpora_lie_side_by_side_and_are_found_again(train: Command, texts: Path) -> None:
    books = [*SHORT, "corpus.files=books/*.txt"]
    assert train(*books, "run=books").returncode == 0
    done = train(*SHORT, "corpus.files=notes/*.txt", "run=notes")
    assert done.returncode == 0, done.stderr
    first, second = corpus_of(texts, "books"), corpus_of(texts, "notes")
    assert first != second
    assert corpora(texts) == {Path(first).name, Path(second).name}
    assert f"note: the corpus is prepared into {second}" in done.stderr

    # Whatever the folder is called, and wherever the files have gone meanwhile.
    (texts / first).rename(texts / "data/mine")
    (texts / "books").rename(texts / "moved")
    done = train(*SHORT, "corpus.files=moved/*.txt", "run=moved")
    assert done.returncode == 0, done.stderr
    assert corpus_of(texts, "moved") == "data/mine"
    shutil.rmtree(texts / "moved")
    assert train(*books, "run=without-text").returncode == 0
    assert corpus_of(texts, "without-text") == "data/mine"
    assert (
        rows(texts / "runs/without-text")[-1]["val/masked_lm_loss"]
        == rows(texts / "runs/books")[-1]["val/masked_lm_loss"]
    )
    assert train(*books, "run=books").stdout.startswith("runs/books is finished")  # its corpus had another name

    # Another vocabulary is another corpus, which needs the text.
    done = train(*books, "tokenizer.vocab_size=110", "run=other")
    assert (done.returncode, "no file matches 'books/*.txt'" in done.stderr) == (2, True)


def test_a_resumed_run_keeps_its_text(train: Command, texts: Path) -> None:
    words = [*SHORT, "corpus.files=books/*.txt", "run=run"]
    assert train(*words).returncode == 0
    shutil.rmtree(texts / "runs/run/model")  # as killed at its end
    corpus = texts / corpus_of(texts, "run")
    with (texts / "books/text.txt").open("a") as file:
        file.write("\nA line that nobody has read.\n")
    done = train(*words)
    assert done.returncode == 0, done.stderr
    assert corpora(texts) == {corpus.name}
    assert train(*words, "run=new").returncode == 0
    assert len(corpora(texts)) == 2

    shutil.rmtree(texts / "runs/run/model")
    shutil.rmtree(corpus)
    done = train(*words)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"error: data/{corpus.name}, the corpus of this run, is gone, and the text that it was prepared from has "
        "changed: put the folder back, or begin another run=NAME\n"
    )
    shutil.rmtree(texts / "data")
    shutil.rmtree(texts / "books")
    done = train(*words)
    assert f"data/{corpus.name}, the corpus of this run, is gone and cannot be prepared again: " in done.stderr
    assert not corpus.exists()


def test_two_models_to_go_on_from_have_their_own_corpora(train: Command, texts: Path) -> None:
    words = [*SHORT, "corpus.files=books/*.txt"]
    assert train(*words, "run=books").returncode == 0
    more = [word for word in words if not word.startswith(("model", "tokenizer"))]
    assert train(*more, "init=runs/books/model", "run=more").returncode == 0
    assert corpus_of(texts, "more") == corpus_of(texts, "books")  # which has the same vocabulary
    (texts / "terms.txt").write_text("zebra\nyak\n")
    done = train(*more, "init=runs/books/model", "grow.vocab=terms.txt", "run=grown")
    assert done.returncode == 0, done.stderr
    assert corpus_of(texts, "grown") != corpus_of(texts, "books")
    assert train(*more, "init=runs/books/model", "grow.vocab=terms.txt", "run=again").returncode == 0
    assert corpus_of(texts, "again") == corpus_of(texts, "grown")
