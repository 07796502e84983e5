"""Vectors of folders of sentence-transformers and of plain encoders."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference

FOLDERS = ("st600_mean_normalize", "st600_cls_dense_normalize_prompts", "st600_mean_noprompt_truncate")
INFERENCE = Inference()


@pytest.mark.parametrize("name", FOLDERS)
def test_vectors_are_those_of_sentence_transformers(name: str, shared_data: Path) -> None:
    known: dict[str, Any] = json.loads((shared_data / "fixtures/st600_expected.json").read_text())
    expected = known["folders"][name]
    model = Embedder.read(shared_data / "fixtures" / name, INFERENCE)
    assert (model.similarity, model.max_length) == (expected["similarity_fn_name"], expected["max_seq_length"])
    for kind, prompt in (
        ("encode", ""),
        ("encode_query", model.query_prompt),
        ("encode_document", model.passage_prompt),
    ):
        assert np.allclose(model.embed(known["texts"], prompt=prompt), expected[kind], atol=1e-5)
    assert model.counts == {"texts truncated to 32 tokens": 3}


@pytest.mark.parametrize("name", FOLDERS[:2])
def test_a_folder_is_written_as_every_version_reads_it(name: str, shared_data: Path, tmp_path: Path) -> None:
    found = read_pretrained(shared_data / "fixtures" / name)
    model = task_model("embedding", found, labels=[], adaptation=found.adaptation)
    save_task_model(
        model, found.tokenizer, tmp_path / "m", head="embedding", labels=[], record=found.record,
        tokenizer_files=found.tokenizer_files,
    )  # fmt: skip
    kinds = [module["type"] for module in json.loads((tmp_path / "m/modules.json").read_text())]
    assert all(kind.startswith("sentence_transformers.models.") for kind in kinds)
    assert json.loads((tmp_path / "m/sentence_bert_config.json").read_text())["max_seq_length"] == 32
    assert json.loads((tmp_path / "m/tokenizer_config.json").read_text())["model_max_length"] == 32
    before, texts = Embedder.of(found, INFERENCE), ["A man.", "x"]
    without = tmp_path / "theirs"  # what sentence-transformers reads of it
    shutil.copytree(tmp_path / "m", without, ignore=shutil.ignore_patterns("cloze.json", "head.safetensors"))
    for folder in (tmp_path / "m", without):
        again = Embedder.read(folder, INFERENCE)
        assert np.array_equal(again.embed(texts), before.embed(texts))
        assert (again.query_prompt, again.similarity) == (before.query_prompt, before.similarity)


def test_an_encoder_gives_the_mean_of_its_hidden_states(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(
        shared_data / "fixtures" / FOLDERS[0], folder, ignore=shutil.ignore_patterns("*modules.json", "config_s*")
    )
    theirs, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = ["A man plays the guitar.", "x"]
    with torch.no_grad():
        wanted = [theirs(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for text in texts]
    assert np.allclose(Embedder.read(folder, INFERENCE).embed(texts), wanted, atol=1e-5)
    assert Embedder.read(folder, INFERENCE).embed([]).shape == (0, 32)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("modules.json", lambda c: [*c, {"path": "9", "type": "x.LSTM"}], "Transformer, Pooling, Normalize, LSTM"),
        ("modules.json", lambda c: c[::-1], "in this order"),
        ("1_Pooling/config.json", lambda _: {"pooling_mode": ["cls", "mean"]}, "its pooling is cls, mean"),
        ("config_sentence_transformers.json", lambda _: {"similarity_fn_name": "euclidean"}, "only cosine and dot"),
    ],
)  # fmt: skip
def test_folders_of_other_models_are_refused(
    file: str, change: Any, said: str, shared_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shared_data / "fixtures" / FOLDERS[0], folder)
    (folder / file).chmod(0o644)
    (folder / file).parent.chmod(0o755)
    (folder / file).write_text(json.dumps(change(json.loads((folder / file).read_text()))))
    with pytest.raises(InputError, match=said):
        Embedder.read(folder, INFERENCE)


@pytest.mark.parametrize(("key", "value"), [("max_length", 65), ("max_length", 2), ("dimension", 33)])
def test_numbers_that_do_not_fit_are_refused(key: str, value: int, shared_data: Path) -> None:
    with pytest.raises(InputError, match=f"{key}={value}: must be from"):
        Embedder.read(shared_data / "fixtures" / FOLDERS[0], INFERENCE, **{key: value})
