"""Embeddings through the command line: from pairs to a folder, stopped and resumed, on two ranks, and scored again."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cloze.checkpoint.conversion import convert
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from tests.command import Command
from tests.launch.stories import NO_DROPOUT, checkpoint, command, play, watch

SHAPE = ["model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "model.max_position_embeddings=64"]
SHORT = [*SHAPE, "tokenizer.vocab_size=200", "task.max_length=24", "trainer.log_every=2", "task.lr=3e-3"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that name a table of lists of words, each with another on the same subject and one on another."""
    folder, numbers = tmp_path_factory.mktemp("pairs"), random.Random(1)
    subjects = [[f"{a}{b}" for b in "aeiou"] for a in "bdfgkl"]

    def said(subject: list[str]) -> str:
        return " ".join(numbers.choice(subject) for _ in range(numbers.randrange(2, 9)))

    for name, count in (("train", 96), ("dev", 32)):
        with (folder / f"{name}.jsonl").open("w") as file:
            for _ in range(count):
                one, other = numbers.sample(subjects, 2)
                file.write(json.dumps({"query": said(one), "pos": [said(one)], "neg": [said(other)]}) + "\n")
    return ["task=embedding", f"task.data.train={folder}/train.jsonl", f"task.data.dev={folder}/dev.jsonl"]


def model(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model/model.safetensors")  # type: ignore[no-any-return]


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def small_length() -> list[str]:
    return ["task.batch_size=16", "trainer.max_steps=6", "hardware.micro_batch_tokens=256"]


def test_a_folder_of_embeddings_is_trained_scored_and_read(
    pairs: list[str], small_length: list[str], finetune: Command, tmp_path: Path
) -> None:
    words = [*SHORT, *pairs, *small_length, "adaptation.dense=8", "adaptation.pooling=weighted_mean"]
    tried = finetune(*words, "folder=run", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "tried: " in tried.stdout
    done = finetune(*words, "task.module.loss.learned=true", "task.features.query_prompt='find: '", "folder=run")
    assert done.returncode == 0, done.stderr
    assert {"mrr@10", "accuracy@1", "recall@10"} <= results(tmp_path / "run")["dev"].keys()
    found = Embedder.read(tmp_path / "run/model", Inference())
    assert (found.dimension, found.query_prompt, found.max_length) == (8, "find: ", 24)
    assert np.allclose(np.linalg.norm(found.embed(["a text", "another"]), axis=1), 1.0, atol=1e-5)
    card = (tmp_path / "run/model/README.md").read_text()
    assert 'SentenceTransformer("FOLDER")' in card
    again = finetune(*pairs, "task.max_length=24", "stage=evaluate", "model=run/model", "folder=again")
    assert again.returncode == 0, again.stderr
    assert results(tmp_path / "again")["dev"] == pytest.approx(results(tmp_path / "run")["dev"], abs=1e-6)
    wrong = finetune(*pairs, "stage=evaluate", "model=run/model", "folder=x", "task=classification")
    assert wrong.returncode == 2


def test_a_model_trained_over_layers_is_cut_to_its_first(
    pairs: list[str], small_length: list[str], finetune: Command, tmp_path: Path
) -> None:
    loss = "{_target_: cloze.tasks.embedding_losses.InfoNCE, temperature: 0.1}"
    layers = f"task.module.loss={{_target_: cloze.tasks.embedding_layers.AdaptiveLayers, loss: {loss}}}"
    words = [*SHORT, *pairs, *small_length, "model.num_hidden_layers=3", layers]
    done = finetune(*words, "folder=run")
    assert done.returncode == 0, done.stderr
    convert(tmp_path / "run/model", tmp_path / "cut", layers=1)
    evaluated = finetune(*pairs, "task.max_length=24", "stage=evaluate", "model=cut", "folder=again")
    assert evaluated.returncode == 0, evaluated.stderr
    assert results(tmp_path / "again")["dev"]["recall@10"] > 0.5
    frozen = finetune(*words, "adaptation.frozen_layers=2", "folder=frozen")
    assert frozen.returncode == 2
    assert (
        "task.module.loss.layers=None: expected layers below the last that are trained, which are none" in frozen.stderr
    )


def test_what_was_stopped_ends_with_the_bits_of_what_was_not(
    pairs: list[str], small_length: list[str], finetune: Command, tmp_path: Path
) -> None:
    words = [*SHORT, *pairs, *small_length, "task.module.loss.learned=true", "checkpoint.every_steps=1"]
    assert finetune(*words, "folder=whole").returncode == 0
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 3}"
    assert "PowerCut" in finetune(*words, "folder=part", stop).stderr
    done = finetune(*words, "folder=part")
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout + done.stderr
    whole, part = model(tmp_path / "whole"), model(tmp_path / "part")
    assert all(torch.equal(whole[name], part[name]) for name in whole)


@pytest.mark.slow
def test_any_number_of_ranks_and_chunks_make_the_update_of_one(
    pairs: list[str], small_length: list[str], tmp_path: Path
) -> None:
    words = [*SHORT, *pairs, *small_length, *NO_DROPOUT, "task.module.loss.learned=true"]
    whole, small = ([*words, f"hardware.micro_batch_tokens={tokens}"] for tokens in (100000, 40))
    play(
        tmp_path,
        command([*whole, "folder=whole", watch(told=[4, 0])], script="finetune.py"),
        command([*small, "folder=chunks", watch(told=[4, 0])], script="finetune.py"),
        command([*whole, "folder=two", watch(told=[3, 0])], script="finetune.py", ranks=2),  # agree a step later
        command([*small, "folder=four", watch(told=[3, 0])], script="finetune.py", ranks=4),
        command([*small, "folder=shards", watch(told=[3, 0])], script="finetune.py", ranks=2, strategy="fsdp"),
        statuses=[143] * 5,  # stopped: a run that ends removes its checkpoints
    )
    names = ("whole", "chunks", "two", "four", "shards")
    expected, *others = (checkpoint(tmp_path / name, 5) for name in names)
    parameters = [name for name in expected if name.startswith("/state_dict/")]
    scale = "/state_dict/model.training_only.log_scale"
    assert expected[scale].item() != pytest.approx(-math.log(0.05), abs=1e-4)
    for name, found in zip(names[1:], others, strict=True):
        assert all(torch.allclose(expected[each], found[each], atol=2e-5) for each in parameters), name
        assert torch.allclose(expected[scale], found[scale], atol=1e-6), name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task.module.loss._target_=cloze.tasks.embedding_losses.CoSENT"], "CoSENT needs scores, but "),
        (["adaptation.head=bilstm"], "adaptation.head=bilstm: embeddings are made of the last layer"),
        (["task.module.metric=spearman"], "the split dev has no scores of pairs; take mrr@10"),
        (["task.module.dimension=33"], "task.module.dimension=33: must be from 1 to 32"),
        (["task.data.positive=nowhere"], "has no column 'nowhere' for task.data.positive"),
        (["adaptation.dense_activation=tanh"], "there is no dense layer"),
        (["task.features.negatives=-1"], "task.features.negatives=-1: must be at least 0"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], said: str, pairs: list[str], finetune: Command) -> None:
    done = finetune(*SHORT, *pairs, *words, "folder=refused", "trainer.max_steps=2")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_options_of_embeddings_are_refused_elsewhere(small_table: list[str], finetune: Command) -> None:
    done = finetune(*small_table, "adaptation.pooling=mean", "folder=refused")
    assert done.returncode == 2
    assert "adaptation.pooling=mean: is for task=embedding" in done.stderr
