"""A model with one segment reads pairs with segment 0 for both texts, as `transformers` does when it is told so."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests import forks
from tests.checkpoint.folders import CONFIG, their_folder
from tests.command import Command
from tests.tiny import VOCABULARY

PAIRS = [("the cab", "a bad dad"), ("a", "the bed"), ("fee fi", "the a b c d e")]
SHORT = ["task.max_length=32", "trainer.max_steps=2", "trainer.log_every=1"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    their_folder("BertForPreTraining", tmp_path / "bert", num_hidden_layers=2, type_vocab_size=1)
    rows = [{"text": a, "text_pair": b, "label": "ab"[number % 2]} for number, (a, b) in enumerate(PAIRS * 4)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "bert"


def run(folder: Path, *words: str) -> str:
    done = forks.run(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def rows_of(pairs: Sequence[tuple[str, str]], folder: Path) -> dict[str, torch.Tensor]:
    """The pairs as `transformers` takes them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = dict(tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt"))
    assert rows["token_type_ids"].max() == 1
    return {**rows, "token_type_ids": torch.zeros_like(rows["token_type_ids"])}


def test_next_sentence_features_and_classes_are_theirs(model: Path, finetune: Command, tmp_path: Path) -> None:
    data = ["input=pairs.jsonl", f"model={model}"]
    said = run(tmp_path, "cloze-predict", "task=next-sentence", *data)
    theirs = transformers.BertForPreTraining.from_pretrained(model).eval()
    with torch.no_grad():
        expected = theirs(**rows_of(PAIRS, model), output_hidden_states=True)
    ours = [json.loads(line)["probability"] for line in said.splitlines()[: len(PAIRS)]]
    assert ours == pytest.approx(expected.seq_relationship_logits.softmax(-1)[:, 0].tolist(), abs=1e-5)

    run(tmp_path, "cloze-features", *data, "columns.text_pair=text_pair", "output=f.npy", "level=cls")
    vectors = torch.from_numpy(np.load(tmp_path / "f.npy")[: len(PAIRS)])
    torch.testing.assert_close(vectors, expected.hidden_states[-1][:, 0], atol=1e-5, rtol=0)

    table = ["task.data.train=pairs.jsonl", "task.data.dev=pairs.jsonl", "task.data.text_pair=text_pair"]
    done = finetune("task=classification", *table, f"model={model}", "run=classes", *SHORT)
    assert done.returncode == 0, done.stderr
    tuned = tmp_path / "runs/classes/model"
    said = run(tmp_path, "cloze-predict", "input=pairs.jsonl", f"model={tuned}")
    classifier = transformers.BertForSequenceClassification.from_pretrained(tuned).eval()
    with torch.no_grad():
        logits = classifier(**rows_of(PAIRS, tuned)).logits
    ours = [list(json.loads(line)["probabilities"].values()) for line in said.splitlines()[: len(PAIRS)]]
    np.testing.assert_allclose(ours, logits.softmax(-1), atol=1e-5)


@pytest.mark.parametrize("task", ["question_answering", "multiple_choice"])
def test_questions_and_choices(model: Path, finetune: Command, tmp_path: Path, task: str) -> None:
    answer = {"text": ["bad"], "answer_start": [2]}
    row = {
        "question_answering": {"question": "the cab", "context": "a bad dad", "answers": answer},
        "multiple_choice": {"text": "the cab", "choices": ["a bad dad", "the bed"], "label": 1},
    }[task]
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 4)
    more = {
        "question_answering": ["task.features.max_question_length=8"],
        "multiple_choice": ["task.data.choices=choices", "task.data.text=text", "task.data.label=label"],
    }[task]
    data = ["task.data.train=rows.jsonl", "task.data.dev=rows.jsonl"]
    done = finetune(f"task={task}", *data, *more, f"model={model}", "run=x", *SHORT)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "cloze-predict", "input=rows.jsonl", "model=runs/x/model")


def test_pretraining_goes_on_with_pairs(model: Path, train: Command, small_corpus: list[str], tmp_path: Path) -> None:
    short = ["objective.max_length=32", "data.batch_tokens=128", "trainer.max_steps=2"]
    corpus = [word for word in small_corpus if not word.startswith("tokenizer.")]  # the model brings its own
    done = train(*corpus, f"init={model}", *short, "run=more", f"corpus.prepared={tmp_path / 'own'}")
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "runs/more/model/config.json").read_text())
    assert (settings["type_vocab_size"], settings["vocab_size"]) == (1, len(VOCABULARY))
    assert CONFIG.type_vocab_size == 2
    run(tmp_path, "cloze-convert", "from=runs/more/model", "to=google", "format=google")
    assert run(tmp_path, "cloze-predict", "model=./google", "task=next-sentence", "text=the cab", "text_pair=a bed")
