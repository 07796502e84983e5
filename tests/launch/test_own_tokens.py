"""Models with a tokenizer of their own through the commands: trained here, the same in transformers."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast, pipeline

from cloze.checkpoint.conversion import convert
from cloze.checkpoint.pretrained import read_pretrained
from cloze.cli import features, predict
from cloze.errors import InputError
from cloze.text.tokenizer import SPECIAL_TOKENS, vocabulary
from tests.command import Command

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), "the", "river", "list", "waits", *"[]<>/1=", "É"]
NAMES = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
SHORT = [
    "trainer.max_epochs=12",
    "trainer.log_every=20",
    "optimizer.lr=3e-3",
    "task.max_length=32",
    "hardware.threads=1",
]
MARKED = "The [E1] River [/E1] and <user> waits [SEP] É=É"


VOCAB = {piece: number for number, piece in enumerate(PIECES)}


def berts() -> Any:
    theirs = BertTokenizerFast(vocab=VOCAB)
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]", "[/E1]"]})
    theirs.add_tokens(["<user>"])
    return theirs


def its_own() -> Any:
    own = Tokenizer(models.WordPiece(VOCAB, unk_token="[UNK]"))
    own.normalizer = normalizers.NFC()
    own.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("=")
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    theirs = PreTrainedTokenizerFast(tokenizer_object=own, **NAMES)
    theirs.add_tokens(["[E1]", "[/E1]"], special_tokens=True)
    return theirs


def model_folder(theirs: Any, folder: Path, spare: int = 20) -> Path:
    shape = transformers.BertConfig(
        vocab_size=len(theirs) + spare,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    transformers.BertForPreTraining(shape).save_pretrained(folder)
    theirs.save_pretrained(folder)
    return folder


@pytest.fixture(params=[berts, its_own], ids=["added", "own"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return model_folder(request.param(), tmp_path / "model")


def relations(file: Path, count: int) -> list[str]:
    """Texts whose class is the one word between the marks, which stands in all of them."""
    numbers = random.Random(count)
    texts, lines = [], ["text,label"]
    for _ in range(count):
        marked = numbers.randrange(2)
        words = [f"[E1]{word}[/E1]" if n == marked else word for n, word in enumerate(["river", "list"])]
        if numbers.randrange(2):
            words.reverse()
        texts.append("=".join([words[0], "the", words[1]]) if numbers.randrange(2) else " ".join(words))
        lines.append(f"{texts[-1]},{'first' if marked == 0 else 'second'}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return texts


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def test_a_classifier_scores_in_transformers_as_it_does_here(
    model: Path, tmp_path: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    relations(tmp_path / "train.csv", 200)
    texts = relations(tmp_path / "dev.csv", 40)
    data = ["task.data.train=train.csv", "task.data.dev=dev.csv", "task.data.text=text", "task.data.label=label"]
    result = finetune("task=classification", *data, f"model={model}", *SHORT, "run=a", "checkpoint.every_steps=50")
    assert result.returncode == 0, result.stderr
    saved = tmp_path / "runs" / "a" / "model"
    assert {name: (saved / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")} == {
        name: (model / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")
    }
    theirs = pipeline("text-classification", model=str(saved))(texts)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cloze-predict", f"model={saved}", "input=rows.jsonl", "hardware.threads=1"])
    capfd.readouterr()
    assert predict.main() == 0
    ours = told(capfd)
    assert [row["prediction"] for row in ours] == [row["label"] for row in theirs]
    assert [row["probability"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-4)
    gold = [line.rpartition(",")[2] for line in (tmp_path / "dev.csv").read_text().splitlines()[1:]]
    assert sum(row["prediction"] == label for row, label in zip(ours, gold, strict=True)) >= 38


def test_features_are_of_their_tokens(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": MARKED}) + "\n")
    monkeypatch.chdir(tmp_path)
    words = [f"model={model}", "input=rows.jsonl", "output=x.parquet", "level=token", "special_tokens=true"]
    monkeypatch.setattr(sys, "argv", ["cloze-features", *words, "hardware.threads=1"])
    assert features.main() == 0, capfd.readouterr().err
    (row,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
    expected = AutoTokenizer.from_pretrained(model)(MARKED, return_offsets_mapping=True)
    assert row["tokens"] == AutoTokenizer.from_pretrained(model).convert_ids_to_tokens(expected["input_ids"])
    spans = [tuple(span) for span in row["offsets"]]
    for (start, end), (first, last) in zip(spans, expected["offset_mapping"], strict=True):
        assert first <= start <= end <= last
        assert MARKED[start:end] == MARKED[first:last].strip()  # some take the spaces around them


def test_conversion_keeps_the_tokenizer_and_google_has_no_place_for_it(model: Path, tmp_path: Path) -> None:
    convert(model, tmp_path / "hf")
    convert(model, tmp_path / "onnx", "onnx")
    expected = AutoTokenizer.from_pretrained(model)(MARKED)["input_ids"]
    for name in ("hf", "onnx"):
        assert AutoTokenizer.from_pretrained(tmp_path / name)(MARKED)["input_ids"] == expected
        assert read_pretrained(model).tokenizer.encode(MARKED).ids == expected
    with pytest.raises(InputError, match="which Google's format has no place for"):
        convert(model, tmp_path / "google", "google")
    assert not (tmp_path / "google").exists()


SMALL = ["model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "model.max_position_embeddings=64"]


def tweets(file: Path) -> str:
    lines = ["<user> the quiet teacher repairs <url> #spring", "the old <user> sees a window <url>", "a user waits"]
    file.write_text("\n\n".join(f"{line} {number % 9}" for number in range(90) for line in lines) + "\n")
    return "<user> The user sees<url> 3 <USER> [MASK]"


def assert_one_token(saved: Path, text: str, tokens: list[str]) -> None:
    ours, theirs = read_pretrained(saved).tokenizer, AutoTokenizer.from_pretrained(saved)
    ids = theirs(text)["input_ids"]
    assert ours.encode(text).ids == ids
    for token in tokens:
        assert ids.count(theirs.convert_tokens_to_ids(token)) == text.count(token)
        assert token in theirs.all_special_tokens


def test_own_tokens_of_a_vocabulary_that_is_trained(tmp_path: Path, train: Command) -> None:
    text = tweets(tmp_path / "tweets.txt")
    words = [
        "corpus=text",
        "corpus.files=tweets.txt",
        "tokenizer.vocab_size=160",
        "objective=mlm",
        "trainer.max_steps=2",
    ]
    words += [
        "preparation.workers=0",
        "preparation.heldout_fraction=0.2",
        "data.batch_tokens=256",
        "hardware.threads=1",
    ]
    words += [
        "tokenizer.special_tokens=['<user>','<url>']",
        "corpus.prepared=prepared",
        "objective.max_length=32",
        *SMALL,
    ]
    words += ["trainer.validate_every=2", "trainer.log_every=1", "trainer.max_steps=2"]
    result = train(*words, "run=a")
    assert result.returncode == 0, result.stderr
    assert_one_token(tmp_path / "runs/a/model", text, ["<user>", "<url>"])
    pieces = vocabulary(read_pretrained(tmp_path / "runs/a/model").tokenizer)
    assert pieces[5:7] == ["<user>", "<url>"]
    assert "url" not in pieces  # the text knows it as a token only
    assert train(*words, "run=b").returncode == 0
    other = train(*words, "tokenizer.special_tokens=['<user>']", "run=c")
    assert other.returncode == 2
    assert "tokenizer.special_tokens: was" in other.stderr
    wrong = train(*words, "tokenizer.special_tokens=['<user> ']", "run=d")
    assert "tokenizer.special_tokens has '<user> ': expected a text without blanks around it" in wrong.stderr


@pytest.mark.parametrize("begins", ["folder", "size"])
def test_own_tokens_of_a_fine_tuning(begins: str, tmp_path: Path, finetune: Command) -> None:
    relations(tmp_path / "train.csv", 120)
    texts = relations(tmp_path / "dev.csv", 40)
    model = ["tokenizer.vocab_size=120", *SMALL]
    if begins == "folder":
        model = [f"model={model_folder(BertTokenizerFast(vocab=VOCAB), tmp_path / 'model', spare=1)}"]
    data = ["task.data.train=train.csv", "task.data.dev=dev.csv", "task.data.text=text", "task.data.label=label"]
    words = ["task=classification", *data, *model, *SHORT, "run=a"]
    result = finetune(*words, "tokenizer.special_tokens=['[E1]','[/E1]']")
    assert result.returncode == 0, result.stderr
    saved = tmp_path / "runs" / "a" / "model"
    assert_one_token(saved, texts[0], ["[E1]", "[/E1]"])
    if begins == "folder":
        assert "note: 2 new tokens, each the mean of those it was read as: [E1], [/E1]" in result.stderr
        assert read_pretrained(saved).config.vocab_size == len(PIECES) + 2
        judged = finetune(*words[:5], f"model={saved}", "stage=evaluate", "tokenizer.special_tokens=['[E2]']", "run=b")
        assert "tokenizer.special_tokens is for stage=train" in judged.stderr
    said = pipeline("text-classification", model=str(saved))(texts)
    results = json.loads((tmp_path / "runs" / "a" / "results.json").read_text())
    gold = [line.rpartition(",")[2] for line in (tmp_path / "dev.csv").read_text().splitlines()[1:]]
    right = sum(row["label"] == label for row, label in zip(said, gold, strict=True))
    assert right / len(gold) == pytest.approx(results["dev"]["accuracy"])
