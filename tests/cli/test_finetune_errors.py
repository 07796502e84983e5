"""Bad input of fine-tuning ends in one line on stderr and exit status 2, with nothing left behind."""

import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from cloze.checkpoint.task_models import save_task_model
from cloze.cli.finetune import main
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.task_heads import TASK_MODELS
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, save_tokenizer
from tests.tiny import tiny_config

GOOD = "text,label\nfine film,1\npoor film,0\n"
OWN = ["task=classification", "task.data.train=train.csv", "task.data.dev=dev.csv", "run=x"]


def tokenizer(*words: str) -> Tokenizer:
    return build_tokenizer([*SPECIAL_TOKENS, "fine", "poor", "film", *words])


def save_model(folder: Path, head: Head, labels: list[str]) -> None:
    model = TASK_MODELS[head](
        tiny_config(8, num_hidden_layers=1, max_position_embeddings=16), max(1, len(labels)), Adaptation()
    )
    save_task_model(model, tokenizer(), folder, head=head, labels=labels)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: with good tables, and models that were saved for two kinds of tasks."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "dev"):
        Path(f"{name}.csv").write_text(GOOD, encoding="utf-8")
    save_model(tmp_path / "stars", "sequence_classification", ["0", "1"])
    save_model(tmp_path / "tagger", "token_classification", ["O", "B-X", "I-X"])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "dev", "message"),
    [
        (["task=clasification"], GOOD, "unknown option 'task=clasification'; did you mean 'task=classification'?"),
        (["task.data.txt=review"], GOOD, "unknown key 'task.data.txt'; did you mean 'task.data.text'?"),
        (["task.data.text=review"], GOOD, "train.csv: has no column 'review'"),
        (["task.data.train=nowhere.csv"], GOOD, "nowhere.csv: there is no such file; set task.data.train=FILE"),
        (["task.data.train=null"], GOOD, "stage=train needs task.data.train: set it to a file"),
        ([], GOOD + "odd film,2\n", "dev.csv, line 4: has the label '2'"),
        ([], GOOD + ",1\n", "dev.csv, line 4: "),
        ([], GOOD + "one cell\n", "dev.csv, line 4: "),
        (["task=regression", "task.data.label=label"], GOOD + "film,nan\n", "dev.csv, line 4: "),
        (["task.max_length=32"], GOOD, "task.max_length is 32, but the model has only 16 positions"),
        (["model=./tagger"], GOOD, "tagger was fine-tuned as BertForTokenClassification"),
        (["model=./tagger", "stage=evaluate"], GOOD, "tagger holds a BertForTokenClassification"),
        (["model=tiny", "stage=evaluate"], GOOD, "stage=evaluate needs a fine-tuned model: give model=FOLDER"),
        (["stage=predict"], GOOD, "stage=predict needs task.data.test: set it to a file"),
        (["model=./nothing"], GOOD, "nothing: there is no such folder; give the folder of a model, or hub:NAME"),
        (["model=./other"], GOOD, "its tokenizer has ids up to 9, but its model only 8 embeddings"),
        (["adaptation.frozen_layers=2"], GOOD, "together more than the model's num_hidden_layers=1"),
        (["adaptation.layers=concat_last_4"], GOOD, "adaptation.layers=concat_last_4"),
        (["data.batch_tokens=64"], GOOD, "data.batch_size=32, data.batch_tokens=64: expected exactly one of them"),
        (["task.module.class_weights=[1,2,3]"], GOOD, "task.module.class_weights"),
        (["task.module.metrics=[acuracy]"], GOOD, "did you mean accuracy?"),
        (["trainer.layer_decay=2"], GOOD, "trainer.layer_decay is 2, but must be above 0 and at most 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_sentence_and_exit_status_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    dev: str,
    message: str,
) -> None:
    (folder / "dev.csv").write_text(dev, encoding="utf-8")
    save_model(folder / "other", "sequence_classification", ["0", "1"])
    save_tokenizer(tokenizer("other", "words"), folder / "other")
    model = [] if "model=tiny" in words else ["model=./stars"]
    monkeypatch.setattr(sys, "argv", ["finetune.py", *OWN, *model, "task.max_length=16", *words])
    assert main() == 2
    *notes, error = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert all(note.startswith("note: ") for note in notes)
    assert not (folder / "runs").exists()


def test_no_patience_without_a_dev_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*OWN, "model=./stars", "task.max_length=16", "task.data.dev=null", "trainer.patience=2"]
    monkeypatch.setattr(sys, "argv", ["finetune.py", *words])
    assert main() == 2
    assert "trainer.patience needs a dev set" in capsys.readouterr().err
