"""Tokenizers of every kind through the command line: prepared, trained with, resumed, and read by transformers."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from cloze.text.tokenizer import load_tokenizer

Command = Callable[..., subprocess.CompletedProcess[str]]

MODERN = ["model=modern_tiny", "model.hidden_size=32", "model.intermediate_size=48", "model.local_attention=16"]
BERT = ["model=tiny", "model.hidden_size=32", "model.num_attention_heads=2", "model.intermediate_size=48"]
KINDS = {
    "bpe": ["tokenizer.vocab_size=300", *MODERN],
    "unigram": ["tokenizer.vocab_size=120", "tokenizer.special_tokens=['<user>']", *BERT],
    "characters": [*MODERN],
    "kmer": ["tokenizer.k=3", "sentences=line", *BERT],
}


def sequences(file: Path) -> Path:
    """Random genes, a line of 60 letters each, some unknown."""
    numbers = random.Random(0)
    genes = ["".join(numbers.choices("ACGTacgtN", [9, 9, 9, 9, 1, 1, 1, 1, 1], k=600)) for _ in range(20)]
    lines = [
        "\n".join([f">gene {number}", *(gene[at : at + 60] for at in range(0, 600, 60))])
        for number, gene in enumerate(genes)
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def text_of(kind: str, small_text: Path, folder: Path) -> Path:
    """Ten documents, or genes."""
    if kind == "kmer":
        return sequences(folder / "genes.fna")
    file = folder / "text.txt"
    file.write_text("\n\n".join(small_text.read_text(encoding="utf-8").split("\n\n")[:10]), encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_goes_through_training(kind: str, train: Command, small_text: Path, tmp_path: Path) -> None:
    """Of `characters` the preparation is enough, of which training reads what it reads of the others."""
    if kind == "unigram":
        pytest.importorskip("sentencepiece")
    text = text_of(kind, small_text, tmp_path)
    words = [
        "corpus=text", f"corpus.files={text}", "corpus.prepared=prepared", "preparation.workers=0",
        "preparation.heldout_fraction=0.2", f"tokenizer={kind}", *KINDS[kind], "objective=mlm",
        "objective.max_length=64", "data.batch_tokens=128", "trainer.max_steps=2", "checkpoint.every_steps=1",
    ]  # fmt: skip
    if kind in ("characters", "kmer"):
        done = train(*words, "run=words", "objective.masking=whole_word")
        assert done.returncode == 2
        assert "does not tell where words begin, as objective.masking=whole_word asks" in done.stderr
    if kind != "characters":
        done = train(*words, "run=whole")
        assert done.returncode == 0, done.stderr
    prepared = tmp_path / "prepared/tokenizer"
    theirs = AutoTokenizer.from_pretrained(prepared if kind == "characters" else tmp_path / "runs/whole/model")
    ours = load_tokenizer(prepared)
    assert theirs.mask_token == "[MASK]"
    for line in [*text.read_text(encoding="utf-8").splitlines()[:50], "Über <user> 漢字 ﬁ [MASK].", "ACgTNNACG"]:
        assert theirs(line, "a [MASK]")["input_ids"] == ours.encode(line, "a [MASK]").ids
    if kind == "bpe":
        done = train(*words, "run=again", "resume=runs/whole/checkpoints/step-00000001.ckpt")
        assert done.returncode == 0, done.stderr
        whole, again = (load_file(tmp_path / f"runs/{run}/model/model.safetensors") for run in ("whole", "again"))
        assert whole.keys() == again.keys()
        assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
