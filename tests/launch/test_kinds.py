"""A ModernBERT whose tokenizer is BPE over bytes, as transformers saves it, through the commands."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from cloze.text.shards import read_shard
from tests.kinds import modernbert, save

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def released(small_text: Path, tmp_path: Path) -> Path:
    """The folder of a small model with random weights."""
    folder = save("modernbert", modernbert(small_text.read_text(encoding="utf-8").splitlines()), tmp_path / "released")
    size = len(transformers.PreTrainedTokenizerFast.from_pretrained(folder))
    shape = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 128, "local_attention": 16, "pad_token_id": 3,
    }  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(vocab_size=size, **shape))
    model.save_pretrained(folder)
    return folder


def test_a_released_folder_goes_through_every_command(
    train: Command, released: Path, small_text: Path, tmp_path: Path
) -> None:
    words = [
        "corpus=text", f"corpus.files={small_text}", "corpus.prepared=prepared", "preparation.workers=0",
        "preparation.heldout_fraction=0.2", "objective=mlm", "objective.masking=whole_word", "objective.max_length=64",
        "data.batch_tokens=512", "trainer.validate_every=2", "trainer.max_steps=2",
    ]  # fmt: skip
    done = train(*words, f"init={released}", "run=longer")
    assert done.returncode == 0, done.stderr
    model = tmp_path / "runs/longer/model"
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (model / file).read_bytes() == (released / file).read_bytes()
    theirs = transformers.AutoTokenizer.from_pretrained(model)
    shard = read_shard(next((tmp_path / "prepared").glob("train-*.arrow")))
    text = small_text.read_text(encoding="utf-8")
    first = np.asarray(shard.tokens[: shard.sentence_offsets[shard.document_offsets[1]]]).tolist()
    assert theirs.decode(first) in text
    assert first == theirs(theirs.decode(first), add_special_tokens=False)["input_ids"]
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    for role in ("pad", "cls", "sep"):
        assert settings[f"{role}_token_id"] == theirs.convert_tokens_to_ids(f"[{role.upper()}]")
    samples = (tmp_path / "runs/longer/samples.txt").read_text(encoding="utf-8")
    assert "[MASK]" in samples
    assert "\u0120" not in samples
    start = [word for word in words if not word.startswith("corpus.prepared")]
    new = ["model=modern_tiny", "model.hidden_size=32", "model.intermediate_size=48"]
    done = train(*start, *new, "tokenizer=folder", f"tokenizer.vocab={released}", "corpus.prepared=own", "run=new")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/new/model/tokenizer.json").read_bytes() == (released / "tokenizer.json").read_bytes()


def test_a_released_folder_grows_by_words(train: Command, released: Path, tmp_path: Path) -> None:
    text = "The carcinoma returns.\nA small carcinoma list reads the object.\n\n"
    (tmp_path / "notes.txt").write_text("".join(f"{text}{number}\n\n" for number in range(60)), encoding="utf-8")
    (tmp_path / "words.txt").write_text("carcinoma\nreturns\nneoplasm\n", encoding="utf-8")
    words = [
        "corpus=text", "corpus.files=notes.txt", "corpus.prepared=prepared", "preparation.workers=0",
        "preparation.heldout_fraction=0.2", "objective=mlm", "objective.masking=whole_word", "objective.max_length=64",
        "data.batch_tokens=512", "trainer.max_steps=1", "optimizer.lr=1e-12", f"init={released}",
    ]  # fmt: skip
    done = train(*words, "run=grown", "grow.vocab=words.txt")
    assert done.returncode == 0, done.stderr
    assert "each as the mean of those it was read as: carcinoma, neoplasm" in done.stderr
    old, model = transformers.AutoTokenizer.from_pretrained(released), tmp_path / "runs/grown/model"
    theirs = transformers.AutoTokenizer.from_pretrained(model)
    assert len(theirs) == len(old) + 2
    assert theirs.tokenize("The carcinoma returns.")[1].strip() == "carcinoma"
    before, after = (
        transformers.AutoModelForMaskedLM.from_pretrained(folder).get_input_embeddings().weight
        for folder in (released, model)
    )
    torch.testing.assert_close(after[: len(old)], before, atol=1e-6, rtol=0)
    parts = old(" carcinoma", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(after[len(old)], before[parts].mean(0), atol=1e-6, rtol=0)
    shard = read_shard(next((tmp_path / "prepared").glob("train-*.arrow")))
    assert len(old) in shard.tokens
    done = train(*words, "run=larger", "grow.vocab_size=900", "corpus.prepared=larger")
    assert done.returncode == 2
    assert "give the model a tokenizer of this text as tokenizer=bpe" in done.stderr
