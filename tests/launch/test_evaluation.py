"""`stage=evaluate` of pre-training, and held-out files of the user's own."""

import json
import math
from pathlib import Path

import pytest

from cloze.text.manifest import Manifest
from cloze.text.report import load_report
from tests.command import Command
from tests.launch.test_pretraining import rows

SHORT = [
    *("corpus=text", "preparation.workers=0", "objective.max_length=32", "data.batch_tokens=256", "hardware.threads=1"),
    *("trainer.max_steps=4", "trainer.validate_every=2"),
]
SHAPE = ["model=tiny", "model.hidden_size=16", "model.intermediate_size=16", "tokenizer.vocab_size=120"]


@pytest.fixture
def texts(small_text: Path, tmp_path: Path) -> Path:
    """`books/train.txt` and `books/test.txt`, which has a document of the other, too."""
    documents = small_text.read_text().split("\n\n")
    (tmp_path / "books").mkdir()
    (tmp_path / "books/train.txt").write_text("\n\n".join(documents[:100]))
    (tmp_path / "books/test.txt").write_text("\n\n".join([*documents[100:], documents[7]]))
    return tmp_path


def results(folder: Path, run: str) -> dict[str, float]:
    found = json.loads((folder / "runs" / run / "results.json").read_text())
    assert list(found) == ["heldout"]
    return dict(found["heldout"])


def test_files_of_the_users_own_are_held_out_and_a_run_is_evaluated_on_them(train: Command, texts: Path) -> None:
    own = ["corpus.files=books/*.txt", "corpus.heldout_files=books/test.txt"]
    done = train(*SHORT, *SHAPE, *own, "run=books")
    assert done.returncode == 0, done.stderr
    warning = "warning: a document of the training text is in corpus.heldout_files, too: training leaves it out\n"
    assert warning in done.stderr
    (corpus,) = (texts / "data").iterdir()
    manifest = Manifest.load(corpus)
    assert [sum(info.documents for info in part) for part in (manifest.train, manifest.heldout)] == [99, 21]
    assert load_report(corpus)["heldout_too"] == 1

    last = rows(texts / "runs/books")[-1]
    done = train(*SHORT, *own, "stage=evaluate", "init=runs/books", "run=evaluated")
    assert done.returncode == 0, done.stderr
    assert "heldout        masked_lm_loss" in done.stdout
    found = results(texts, "evaluated")
    assert {f"val/{name}" for name in found} == {name for name in last if name.startswith("val/") and last[name]}
    assert all(math.isclose(value, float(last[f"val/{name}"]), rel_tol=1e-5) for name, value in found.items())
    again = train(*SHORT, *own, "stage=evaluate", "init=runs/books", "run=evaluated")
    assert again.stdout.startswith("runs/evaluated is finished\n")
    assert "masked_lm_loss" in again.stdout

    # The held-out files alone tell the same; the text that the model was trained on is not needed.
    (texts / "books/test.txt").rename(texts / "test.txt")
    other = [*SHORT, "corpus.files=nowhere.txt", "stage=evaluate", "init=runs/books/model"]
    done = train(*other, "corpus.heldout_files=test.txt", "run=alone")
    assert done.returncode == 0, done.stderr
    assert results(texts, "alone") == pytest.approx(found)
    done = train(*other, "corpus.files=test.txt", "corpus.heldout_fraction=1", "objective=mlm", "run=all")
    assert done.returncode == 0, done.stderr
    assert "next_sentence_loss" not in results(texts, "all")
    assert len(list((texts / "data").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stage=evaluate"], "stage=evaluate needs a model: give init=FOLDER, as init=runs/NAME/model"),
        (["stage=evaluate", "init=x", "resume=y"], "resume=y is for stage=train, but stage is evaluate: leave one"),
        (["stage=evaluate", "init=x", "grow.vocab_size=99"], "grow is for stage=train, but stage is evaluate"),
        (["stage=predict"], "stage is 'predict', but must be one of train, evaluate"),
        (["corpus.heldout_files=no.txt"], "corpus.heldout_files: 'no.txt' does not exist"),
        (
            ["corpus.heldout_files=books/*.txt"],
            "corpus.files: names no file but those of corpus.heldout_files; give others",
        ),
        (
            ["corpus.heldout_files=books/test.txt", "corpus.heldout_fraction=0.1"],
            "exclude each other: leave one of them",
        ),
        (
            ["corpus.heldout_fraction=1", "tokenizer.vocab=vocab.txt"],
            "all of its text is held out: take another corpus",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(train: Command, texts: Path, words: list[str], message: str) -> None:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    (texts / "vocab.txt").write_text("\n".join(vocab) + "\n")
    done = train(*SHORT, "corpus.files=books/*.txt", "run=bad", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert not (texts / "runs").exists()
