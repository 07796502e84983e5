"""Re-ranking through the command line: from groups to a folder, each loss, stopped and resumed, scored again."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import cloze
from cloze.cli.predict import main
from cloze.data.finetuning.pair_tables import PairTables
from tests import forks
from tests.command import Command

SHAPE = ["model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "model.max_position_embeddings=64"]
SHORT = [*SHAPE, "tokenizer.vocab_size=200", "task.max_length=48", "task.batch_size=8", "task.lr=3e-3"]
LOSS = "task.module.loss._target_=cloze.tasks.reranking_losses."


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that name a table of lists of words, each with one of the same word first, and others."""
    folder, numbers = tmp_path_factory.mktemp("groups"), random.Random(1)
    words = [a + b for a in "bdfgkl" for b in "ae"]

    def said(first: str) -> str:
        return " ".join([first, *(numbers.choice(words) for _ in range(numbers.randrange(0, 3)))])

    for name, count in (("train", 64), ("dev", 24)):
        with (folder / f"{name}.jsonl").open("w") as file:
            for _ in range(count):
                first, *others = numbers.sample(words, numbers.randrange(2, 5))
                group = {"query": said(first), "pos": [said(first)], "neg": [said(other) for other in others]}
                scores = {"pos_scores": [2.5], "neg_scores": [numbers.uniform(-3, 0) for _ in others]}
                file.write(json.dumps(group | scores) + "\n")
    return ["task=reranking", f"task.data.train={folder}/train.jsonl", f"task.data.dev={folder}/dev.jsonl"]


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())  # type: ignore[no-any-return]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model/model.safetensors")  # type: ignore[no-any-return]


def test_a_re_ranker_is_trained_scored_and_predicts(
    groups: list[str], finetune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SHORT, *groups, "trainer.max_steps=6", "task.module.activation=sigmoid", "folder=run"]
    done = finetune(*words)
    assert done.returncode == 0, done.stderr
    scores = results(tmp_path / "run")["dev"]
    assert scores.keys() == {"ndcg@10", "mrr@10", "accuracy"}
    assert 'CrossEncoder("FOLDER").predict' in (tmp_path / "run/model/README.md").read_text()
    first = json.loads((tmp_path / "run/predictions/dev.jsonl").read_text().partition("\n")[0])
    assert first["rank"] == 1 + sum(score >= first["scores"][0] for score in first["scores"][1:])
    again = finetune(*groups, "task.max_length=48", "stage=evaluate", "model=run/model", "folder=again")
    assert again.returncode == 0, again.stderr
    assert results(tmp_path / "again")["dev"] == pytest.approx(scores, abs=1e-6)
    monkeypatch.chdir(tmp_path)
    pairs = [{"text": first["text"], "text_pair": passage} for passage in first["choices"]]
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    words = ["model=run/model", "input=pairs.jsonl", "output=scores.jsonl", "hardware.threads=1"]
    monkeypatch.setattr(sys, "argv", ["cloze-predict", *words])
    assert main() == 0
    said = [json.loads(line)["prediction"] for line in Path("scores.jsonl").read_text().splitlines()]
    assert said == pytest.approx(first["scores"], abs=1e-5)
    assert all(0 < score < 1 for score in said)


@pytest.mark.parametrize("loss", ["BinaryCrossEntropy", "ListwiseSoftmax", "MarginMSE", "Divergence"])
def test_every_loss_learns_the_same_word_first(loss: str, groups: list[str], finetune: Command, tmp_path: Path) -> None:
    done = finetune(*SHORT, *groups, LOSS + loss, "trainer.max_steps=4", "folder=run", "trainer.log_every=1")
    assert done.returncode == 0, done.stderr


def test_what_was_stopped_ends_with_the_bits_of_what_was_not(
    groups: list[str], finetune: Command, tmp_path: Path
) -> None:
    words = [*SHORT, *groups, LOSS + "ListwiseSoftmax", "checkpoint.every_steps=1", "trainer.max_steps=5"]
    assert finetune(*words, "folder=whole").returncode == 0
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 3}"
    assert "PowerCut" in finetune(*words, "folder=part", stop).stderr
    done = finetune(*words, "folder=part")
    assert done.returncode == 0, done.stderr
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[name], part[name]) for name in whole)


def test_any_number_of_micro_batches_makes_the_same_update(
    groups: list[str], finetune: Command, tmp_path: Path
) -> None:
    still = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0", "trainer.max_steps=3"]
    for folder, tokens in (("whole", 100000), ("parts", 100)):
        done = finetune(*SHORT, *groups, *still, f"hardware.micro_batch_tokens={tokens}", f"folder={folder}")
        assert done.returncode == 0, done.stderr
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.allclose(whole[name], parts[name], atol=2e-5) for name in whole)


@pytest.mark.parametrize(
    ("columns", "words", "said"),
    [
        ({}, [LOSS + "ListwiseSoftmax"], "ListwiseSoftmax needs negatives; task.data.train has none"),
        ({"neg": ["c"]}, [LOSS + "MarginMSE"], "MarginMSE needs scores of a teacher, but "),
        ({}, [], "task.data.dev: no query has a negative, so there is nothing to rank"),
        ({"neg": ["c"]}, ["task.features.negatives=-1"], "task.features.negatives=-1: must be at least 0"),
        ({"neg": ["c"]}, ["task.module.activation=tanh"], "task.module.activation"),
        ({"neg": ["c"]}, [LOSS + "Divergence", "+task.module.loss.temperature=0"], "temperature=0: must be above 0"),
        ({"neg": ["c"], "pos_scores": [1]}, [], "has 1 scores, but 2 positives and negatives"),
    ],
)
def test_what_does_not_go_together_is_refused(
    columns: dict[str, Any], words: list[str], said: str, finetune: Command, tmp_path: Path
) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"query": "a", "pos": ["b"], **columns}) + "\n")
    data = ["task=reranking", "task.data.train=train.jsonl", *([] if words else ["task.data.dev=train.jsonl"])]
    done = finetune(*SHORT, *data, *words, "folder=refused", "trainer.max_steps=2")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_a_row_of_training_data_gets_the_scores_that_distillation_reads(
    groups: list[str], finetune: Command, tmp_path: Path
) -> None:
    """A re-ranker into an embedding model, in two commands."""
    assert finetune(*SHORT, *groups, "trainer.max_steps=2", "folder=ranker").returncode == 0
    rows: list[dict[str, Any]] = [
        {"query": "bu da", "pos": ["bu", "bu di"], "neg": ["da"], "pos_scores": [1.0, 1.0], "neg_scores": [0.0]},
        {"query": "ga", "pos": ["ga fe"], "neg": []},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))
    for end in ("jsonl", "parquet"):
        words = ["model=ranker/model", "input=rows.jsonl", f"output=scored.{end}"]
        done = forks.run("cloze-predict", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "scored.parquet")["scores"].to_pylist() == [row["scores"] for row in scored]
    pairs = [("bu da", "bu"), ("bu da", "bu di"), ("bu da", "da"), ("ga", "ga fe")]
    alone = [said["prediction"] for said in cloze.load(tmp_path / "ranker/model").predict(pairs)]
    assert [*scored[0]["scores"], *scored[1]["scores"]] == pytest.approx(alone, abs=1e-5)
    assert scored[0]["prediction"] == int(np.argmax(alone[:3]))
    assert scored[0].keys() == {*rows[0], "id", "scores", "prediction", "probability"}  # not whether it is right
    read = PairTables(train=str(tmp_path / "scored.jsonl")).read("train")
    (one, other, last), (only,) = scored[0]["scores"], scored[1]["scores"]
    assert [each.scores for each in read[:3]] == [(one, last), (other, last), (only,)]  # not those of the mining
    loss = "task.module.loss._target_=cloze.tasks.embedding_losses.Divergence"
    distilled = ["task=embedding", "task.data.train=scored.jsonl", "trainer.max_steps=2", loss]
    distilled += ["task.module.loss.temperature=0.05", "task.module.loss.teacher_temperature=1"]
    done = finetune(*SHORT, *distilled, "folder=distilled")
    assert done.returncode == 0, done.stderr
