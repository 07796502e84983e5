"""Models whose tokenizers are BPE over bytes and Unigram: predicted with, fine-tuned and converted by command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from tests import forks
from tests.command import Command

TEXTS = ["The function returns a list.", "the file, one small list", "a list of the list"]
SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 64, "local_attention": 16,
}  # fmt: skip
ROLES = {"pad": "pad", "cls": "cls", "sep": "sep", "bos": "cls", "eos": "sep"}


@pytest.fixture(params=["modernbert", "unigram"])
def released(request: pytest.FixtureRequest, kind_folders: dict[str, Path], tmp_path: Path) -> Path:
    """The folder of a small model with random weights."""
    folder = shutil.copytree(kind_folders[request.param], tmp_path / "released")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = {f"{key}_token_id": getattr(tokenizer, f"{role}_token_id") for key, role in ROLES.items()}
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(vocab_size=len(tokenizer), **SHAPE, **ids)
    transformers.ModernBertForMaskedLM(config).save_pretrained(folder)
    return folder


def run(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = forks.run(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_masked_words_are_those_of_the_pipeline(released: Path, tmp_path: Path) -> None:
    """Targets without a space are what the pipeline has them for with one."""
    theirs = transformers.pipeline("fill-mask", model=str(released), top_k=5)
    mask = theirs.tokenizer.mask_token
    text = f"The function returns a {mask}."
    (said,) = run(tmp_path, "cloze-predict", "model=./released", f"text={text}")
    (found,) = said["masks"]
    expected = theirs(text)
    assert [one["token_id"] for one in found["candidates"]] == [one["token"] for one in expected]
    assert not any(mark in one["token"] for one in found["candidates"] for mark in "Ġ▁")
    (said,) = run(tmp_path, "cloze-predict", "model=./released", f"text={text}", "targets=[list,the]")
    tokens = [theirs.tokenizer(f"a {word}", add_special_tokens=False)["input_ids"][-1] for word in ("list", "the")]
    scores = {one["token"]: one["score"] for one in theirs(text, targets=[" list", " the"])}
    assert sorted(scores) == sorted(tokens)
    ours = {one["token_id"]: one["probability"] for one in said["masks"][0]["candidates"]}
    assert ours == pytest.approx(scores, abs=1e-6)
    assert said["filled"] in [f"The function returns a {word}." for word in ("list", "the")]


def test_words_that_are_given_have_the_hidden_states_of_their_text(released: Path, tmp_path: Path) -> None:
    rows = [{"words": text.split()} for text in TEXTS]
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    given = ["input=words.jsonl", "columns.words=words", "output=words.parquet"]
    run(tmp_path, "cloze-features", "model=./released", "level=word_mean", *given)
    run(tmp_path, "cloze-features", "model=./released", "level=token", "input=texts.txt", "output=texts.parquet")
    tokenizer = transformers.AutoTokenizer.from_pretrained(released)
    model = transformers.AutoModel.from_pretrained(released).eval()
    words, tokens = (pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("words", "texts"))
    for text, of_words, of_tokens in zip(TEXTS, words, tokens, strict=True):
        with torch.no_grad():
            read = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
            offsets = read.pop("offset_mapping")[0].tolist()
            states = model(**read).last_hidden_state[0].numpy()
        np.testing.assert_allclose(of_tokens["features"], states, atol=1e-5)
        assert of_words["words"] == text.split()
        number = [len(text[:end].split()) - 1 for _, end in offsets[1:-1]]  # a space belongs to the word behind it
        for place, ((start, end), whole) in enumerate(zip(offsets[1:-1], of_tokens["offsets"][1:-1], strict=True)):
            number[place] += text[start:end].isspace()
            assert text[start:end].strip() in ("", text[slice(*whole)])
        mean = [states[1:-1][np.array(number) == word].mean(0) for word in range(len(text.split()))]
        np.testing.assert_allclose(of_words["features"], mean, atol=1e-5)


def test_a_task_is_learned_predicted_and_converted(released: Path, finetune: Command, tmp_path: Path) -> None:
    """Tags of words in raw text, whose offsets are those of the words without their spaces."""
    spans = [[text.index("list"), text.index("list") + 4, "KIND"] for text in TEXTS]
    rows = [{"text": text, "label": [span]} for text, span in zip(TEXTS, spans, strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 8))
    data = ["task=token_classification", "task.data.train=rows.jsonl", "task.data.dev=rows.jsonl"]
    short = ["task.max_length=32", "task.batch_size=8", "optimizer.lr=1e-2", "trainer.max_steps=30", "run=tags"]
    done = finetune(*data, "model=./released", *short, "hardware.threads=1")
    assert done.returncode == 0, done.stderr
    said = run(tmp_path, "cloze-predict", "model=runs/tags/model", "input=rows.jsonl")[: len(TEXTS)]
    for text, span, row in zip(TEXTS, spans, said, strict=True):
        assert [text[entity["start"] : entity["end"]] for entity in row["entities"]][:1] == ["list"]
        assert row["entities"][0]["start"] == span[0]
    run(tmp_path, "cloze-convert", "from=runs/tags/model", "to=again", "format=hf")
    for file in ("tokenizer.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "runs/tags/model" / file).read_bytes()
    assert (tmp_path / "again/tokenizer.json").read_bytes() == (released / "tokenizer.json").read_bytes()
    transformers.ModernBertForTokenClassification.from_pretrained(tmp_path / "again")


def test_a_bert_of_two_segments_is_trained_with_a_tokenizer_of_one(
    kind_folders: dict[str, Path], train: Command, small_text: Path, tmp_path: Path
) -> None:
    """Its folder is read again, by transformers with the same segments."""
    small = ["model=tiny", "model.hidden_size=32", "model.num_attention_heads=2", "model.intermediate_size=48"]
    corpus = ["corpus=text", f"corpus.files={small_text}", "corpus.prepared=prepared", "preparation.workers=0"]
    short = ["objective.max_length=32", "data.batch_tokens=256", "trainer.max_steps=1", "run=pairs"]
    done = train(*small, *corpus, *short, "tokenizer=folder", f"tokenizer.vocab={kind_folders['modernbert']}")
    assert done.returncode == 0, done.stderr
    assert "both texts of a pair the segment 0, but the model has 2: here, and in the tokenizer.json" in done.stderr
    pair = ("the list", "a file")
    texts = [f"text={pair[0]}", f"text_pair={pair[1]}"]
    (said,) = run(tmp_path, "cloze-predict", "model=runs/pairs/model", "task=next-sentence", *texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "runs/pairs/model")
    model = transformers.BertForPreTraining.from_pretrained(tmp_path / "runs/pairs/model").eval()
    with torch.no_grad():
        logits = model(**tokenizer(*pair, return_tensors="pt")).seq_relationship_logits
    assert said["probability"] == pytest.approx(float(logits.softmax(-1)[0, 0]), abs=1e-5)
