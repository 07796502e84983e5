"""A folder of bad input, made once: what the commands of docs/bad_input.md name."""

import gzip
import json
import lzma
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from cloze.checkpoint.folder import load_pretrained
from cloze.checkpoint.google import write_google
from cloze.checkpoint.record import Made, Record
from cloze.checkpoint.task_models import save_task_model
from cloze.checkpoint.weights import read_json
from cloze.cli import train
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.task_heads import TASK_MODELS
from cloze.text.tokenizer import (
    SPECIAL_TOKENS,
    build_tokenizer,
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    vocabulary,
)
from tests.kinds import modernbert

SHAPE = ["hidden_size=16", "num_hidden_layers=1", "num_attention_heads=2", "intermediate_size=16"]
CORPUS = ["corpus=text", "corpus.files=text.txt", "corpus.prepared=prepared", "tokenizer.vocab_size=120"]
TINY = [
    *(f"model.{word}" for word in [*SHAPE, "max_position_embeddings=64"]),
    *("preparation.heldout_fraction=0.2", "preparation.workers=0", "objective.max_length=64", "hardware.threads=1"),
    *("data.batch_tokens=256", "trainer.validate_every=4", "trainer.log_every=1", "trainer.max_steps=4"),
]
GOOD = "text,label\nfine film,1\npoor film,0\n"
LAUGHS = "a: &a [1]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnop"))
"""Sixteen lines that stand for 4^15 numbers."""
ZEROS = lzma.compress(bytes((64 << 20) + 1), preset=0)
PAYLOAD = "payload-was-run"
"""The file that a payload makes when it is run."""


class Payload:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {PAYLOAD}",)


def make_world(text: str) -> None:
    """Fill the working folder."""
    Path("text.txt").write_text(text, encoding="utf-8")
    _runs()
    _texts()
    _tables()
    _corpora()
    _tokenizers(text)
    _models()
    _checkpoints()


def _runs() -> None:
    """A finished run, and one that can go on."""
    for words in (["run=done"], ["run=stopped", "checkpoint.every_steps=1"]):
        sys.argv = ["train.py", *CORPUS, *TINY, *words]
        assert train.main() == 0
    shutil.rmtree("runs/stopped/model")
    for name in ("damaged", "lost", "laughs"):
        shutil.copytree("runs/stopped", f"runs/{name}")
        config = Path(f"runs/{name}/config.yaml")
        config.write_text(config.read_text(encoding="utf-8").replace("stopped", name), encoding="utf-8")
    Path("runs/laughs/config.yaml").write_text(LAUGHS, encoding="utf-8")
    Path("runs/damaged/checkpoints/index.json").write_text('[{"step": 1', encoding="utf-8")
    for file in Path("runs/lost/checkpoints").glob("*.ckpt"):
        file.write_bytes(file.read_bytes()[:-100])


def _texts() -> None:
    Path("folder").mkdir()
    Path("file").write_text("a file\n", encoding="utf-8")
    Path("empty.txt").touch()
    Path("latin1.txt").write_bytes("Ein Stück für Klavier.\n".encode("latin-1"))
    Path("binary.txt").write_bytes(b"\x7fELF\x02\x01\x01\0\0\0\n" * 20)
    Path("notes.pdf").write_bytes(b"%PDF-1.7\n")
    packed = gzip.compress(b"A line of text.\n" * 1000)
    Path("cut.txt.gz").write_bytes(packed[: len(packed) // 2])
    Path("zeros.txt.xz").write_bytes(ZEROS)
    Path("no-zst.txt.zst").write_text("no Zstandard frame\n", encoding="utf-8")
    Path("broken.parquet").write_bytes(b"PAR1 and nothing else")
    pq.write_table(pa.table({"body": ["a", "b"]}), "body.parquet")
    Path("broken.jsonl").write_text('{"text": "fine"}\n{"text": "poor\n', encoding="utf-8")
    Path("deep.jsonl").write_text('{"text": ' + "[" * 10_000 + "\n", encoding="utf-8")
    Path("digits.jsonl").write_text('{"text": ' + "9" * 5_000 + "}\n", encoding="utf-8")
    Path("list.jsonl").write_text("[1, 2]\n", encoding="utf-8")
    Path("no-text.jsonl").write_text('{"body": "fine"}\n', encoding="utf-8")
    Path("twice-vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "a", "b", "a"]) + "\n", encoding="utf-8")
    Path("short-vocab.txt").write_text("a\nb\n", encoding="utf-8")


def _tables() -> None:
    for name in ("train", "dev"):
        Path(f"{name}.csv").write_text(GOOD, encoding="utf-8")
    Path("empty.csv").touch()
    Path("zeros.csv.xz").write_bytes(ZEROS)
    Path("header.csv").write_text("text,label\n", encoding="utf-8")
    Path("twice.csv").write_text("text,text,label\na,b,1\n", encoding="utf-8")
    Path("latin1.csv").write_bytes("text,label\nTrès bien,1\n".encode("latin-1"))
    Path("joined.csv").write_text(GOOD + GOOD, encoding="utf-8")
    Path("rare.csv").write_text(
        "a film like no other at all,odd\n" + "fine film,1\npoor film,0\n" * 4, encoding="utf-8"
    )
    Path("ragged.csv").write_text(GOOD + "one cell\n", encoding="utf-8")
    Path("unclosed.csv").write_text('text,label\n"fine film,1\npoor film,0\n', encoding="utf-8")
    Path("one-class.csv").write_text("text,label\nfine film,1\nodd film,1\n", encoding="utf-8")
    Path("other-label.csv").write_text(GOOD + "odd film,2\n", encoding="utf-8")
    Path("nan.csv").write_text("text,label\nfine film,0.5\npoor film,nan\n", encoding="utf-8")
    Path("words.csv").write_text("text,label\nfine film,good\npoor film,bad\n", encoding="utf-8")
    Path("choices.csv").write_text("text,a,b,c,label\nHe,ran,,sat,0\n", encoding="utf-8")
    Path("choice.csv").write_text("text,a,b,c,label\nHe,ran,,,0\n", encoding="utf-8")
    Path("shares.csv").write_text("text,good,bad\nfine film,1,1\npoor film,0,1\n", encoding="utf-8")
    Path("cut.json").write_text('[{"text": "fine film", "label": 1}, {"text"', encoding="utf-8")
    Path("tags.txt").write_text("Ann B-PER\nruns\n", encoding="utf-8")
    Path("mixed-tags.txt").write_text("Ann B-PER\nruns LOC\n", encoding="utf-8")
    Path("numbers.jsonl").write_text('{"tokens": ["Ann"], "ner_tags": [0]}\n', encoding="utf-8")
    Path("beyond.jsonl").write_text('{"text": "Ann", "label": [[0, 9, "PER"]]}\n', encoding="utf-8")
    Path("short.conllu").write_text("1\tAnn\tPROPN\n", encoding="utf-8")
    Path("broken.json").write_text('{"data": [', encoding="utf-8")
    Path("list.json").write_text("[]", encoding="utf-8")
    Path("no-id.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "Ann", "qas": [{"question": "Who?"}]}]}]}), encoding="utf-8"
    )
    Path("broken.zip").write_bytes(b"PK\x03\x04 and nothing else")
    with zipfile.ZipFile("two.zip", "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("../../b.json", "{}")
    with zipfile.ZipFile("zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.json", bytes((64 << 20) + 1))
    np.save("objects.npy", np.array([Payload()], dtype=object), allow_pickle=True)


def _corpora() -> None:
    for name in ("unmarked", "cut", "old", "damaged", "missing", "listed"):
        shutil.copytree("prepared", f"prepared-{name}")
    Path("prepared-unmarked/manifest.json").unlink()
    shard = next(Path("prepared-cut").glob("train-*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-200])
    manifest = read_json(Path("prepared/manifest.json"))
    Path("prepared-old/manifest.json").write_text(json.dumps({**manifest, "format": 0}), encoding="utf-8")
    Path("prepared-damaged/manifest.json").write_text('{"format": 1,', encoding="utf-8")
    Path("prepared-listed/manifest.json").write_text("[]", encoding="utf-8")
    next(Path("prepared-missing").glob("train-*.arrow")).unlink()


def _models() -> None:
    shutil.copytree("runs/done/model", "model")
    tokenizer = load_tokenizer(Path("model"))
    shape = load_pretrained(Path("model")).config
    own = Record(
        module=Made(target="ratings.Rating", arguments={}),
        features=Made(target="ratings.RatingFeatures", arguments={"max_length": 16}),
    )
    folders: list[tuple[str, Head, list[str], Record]] = [
        ("stars", "sequence_classification", ["0", "1"], Record()),
        ("ratings", "sequence_classification", ["above 1", "above 2"], own),
        ("tagger", "token_classification", ["O", "B-PER", "I-PER"], Record()),
    ]
    for name, head, labels, record in folders:
        task = TASK_MODELS[head](shape, len(labels), Adaptation())
        save_task_model(task, tokenizer, Path(name), head=head, labels=labels, record=record)
    shutil.copytree("stars", "odd-features")
    Path("odd-features/cloze.json").unlink()  # as earlier versions wrote it
    settings = read_json(Path("odd-features/config.json"))
    settings |= {"task_classes": {}, "task_features": {"long": "middle", "max_length": 16}}
    Path("odd-features/config.json").write_text(json.dumps(settings), encoding="utf-8")
    for name in (
        "cut",
        "wide",
        "gpt",
        "typed",
        "words",
        "bare",
        "pickle",
        "index",
        "nan",
        "planted",
        "broken",
        "list",
        "deep",
        "sparse",
        "japanese",
        "rules",
        "pattern",
        "two",
        "short",
    ):
        shutil.copytree("model", f"model-{name}")
    weights = Path("model/model.safetensors").read_bytes()
    Path("model-cut/model.safetensors").write_bytes(weights[: len(weights) // 2])
    config = read_json(Path("model/config.json"))
    for name, change in (
        ("wide", {"hidden_size": 32}),
        ("gpt", {"model_type": "gpt2"}),
        ("typed", {"num_hidden_layers": "two"}),
        ("deep", {"num_hidden_layers": 10**9}),
        ("short", {"max_position_embeddings": 3}),
        ("planted", {"_target_": "os.system", "hidden_act": {"_target_": "os.system", "command": f"touch {PAYLOAD}"}}),
    ):
        Path(f"model-{name}/config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
    Path("model-broken/config.json").write_text("{", encoding="utf-8")
    Path("model-list/config.json").write_text("[]", encoding="utf-8")
    save_tokenizer(build_tokenizer([*vocabulary(tokenizer), "other", "words"]), "model-words")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        Path("model-bare", name).unlink()
    others: dict[str, dict[str, Any]] = {
        "japanese": {"tokenizer_class": "BertJapaneseTokenizer"},
        "rules": {"do_lower_case": False},
    }
    for name, said in others.items():
        file = Path(f"model-{name}/tokenizer_config.json")
        file.write_text(json.dumps({**read_json(file), **said}), encoding="utf-8")
    slow = load_tokenizer(Path("model"))
    slow.pre_tokenizer = Split(Regex("(a+)+b"), "isolated")
    slow.save("model-pattern/tokenizer.json")
    grown = read_tokenizer("model").with_tokens(["[E1]"])
    save_tokenizer(grown.tokenizer, "model-own", grown.files)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(f"model/{name}", f"model-own/{name}")
    Path("model-pickle/model.safetensors").unlink()
    torch.save({"weight": Payload()}, "model-pickle/pytorch_model.bin")
    Path("model-sparse/model.safetensors").unlink()
    torch.save({"weight": torch.eye(2).to_sparse()}, "model-sparse/pytorch_model.bin")
    Path("model-index/model.safetensors").unlink()
    outside = {"weight_map": {"x": "../model/model.safetensors"}}
    Path("model-index/model.safetensors.index.json").write_text(json.dumps(outside), encoding="utf-8")
    tensors = load_file("model/model.safetensors")
    two = {f"{holder}.{name}": tensor.clone() for holder in ("student", "teacher") for name, tensor in tensors.items()}
    save_file(two, "model-two/model.safetensors")
    rows = "bert.embeddings.position_embeddings.weight"
    save_file({**tensors, rows: tensors[rows][:3].clone()}, "model-short/model.safetensors")
    poisoned = {key: value * float("nan") if value.is_floating_point() else value for key, value in tensors.items()}
    save_file(poisoned, "model-nan/model.safetensors")
    _google(config, tensors, vocabulary(tokenizer))


def _tokenizers(text: str) -> None:
    """One of bytes, and others that differ from it in their masks, or in what they draw at random."""
    whole = json.loads(modernbert(text.splitlines()).to_str())
    no_mask, two_masks = (deepcopy(whole["added_tokens"]) for _ in range(2))
    no_mask[-2]["content"], two_masks[-1]["content"] = "[GAP]", "<mask>"
    others: dict[str, dict[str, Any]] = {
        "bpe": {},
        "bpe-no-mask": {"added_tokens": no_mask},
        "bpe-two-masks": {"added_tokens": two_masks},
        "bpe-dropout": {"model": {**whole["model"], "dropout": 0.1}},
    }
    for name, change in others.items():
        Path(name).mkdir()
        Path(name, "tokenizer.json").write_text(json.dumps({**whole, **change}), encoding="utf-8")


def _google(config: dict[str, Any], tensors: dict[str, torch.Tensor], pieces: list[str]) -> None:
    write_google(Path("google"), config, tensors, pieces, lowercase=True)
    for name in ("index", "data", "lone"):
        shutil.copytree("google", f"google-{name}")
    index = Path("google-index/bert_model.ckpt.index")
    index.write_bytes(index.read_bytes()[:-20])
    data = next(Path("google-data").glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    next(Path("google-lone").glob("*.data-*")).unlink()


def _checkpoints() -> None:
    Path("garbage.ckpt").write_bytes(os.urandom(5000))
    Path("empty.ckpt").touch()
    with Path("payload.ckpt").open("wb") as stream:
        pickle.dump(Payload(), stream)
    newest = max(Path("runs/stopped/checkpoints").glob("*.ckpt"))
    Path("cut.ckpt").write_bytes(newest.read_bytes()[:-3000])
    state = torch.load(newest, weights_only=True)
    torch.save({**state, "hyper_parameters": Payload()}, "planted.ckpt")
    torch.save({"state_dict": state["state_dict"]}, "weights.ckpt")
    optimizer = state["optimizer_states"][0]
    short = {**optimizer["state"][0], "exp_avg": optimizer["state"][0]["exp_avg"][:1].clone()}
    shortened = {**optimizer, "state": {**optimizer["state"], 0: short}}
    torch.save({**state, "optimizer_states": [shortened]}, "short.ckpt")
    torch.save({**state, "loops": {}}, "no-loops.ckpt")
    renamed = {name.replace("encoder", "decoder"): tensor for name, tensor in state["state_dict"].items()}
    torch.save({**state, "state_dict": renamed}, "other.ckpt")
    torch.save([1, 2, 3], "list.ckpt")
