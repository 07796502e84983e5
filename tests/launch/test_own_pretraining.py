"""An objective and a module of the user's own, in a package beside the repository, go through all of pre-training.

They are those of docs/extending.md: replaced-token detection with a head that Hugging Face has no class for.
"""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file

from cloze.checkpoint.conversion import convert
from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.arguments import conf_folder
from cloze.config.schema import Pretraining as Config
from cloze.config.validation import check
from cloze.errors import InputError
from cloze.launch.module import check_module
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.pretraining import Pretraining
from tests import forks
from tests.docs import extending
from tests.launch.stories import command

OWN = ["--config-dir", "my_conf", "objective=replaced", "module=detection"]
SMALL = [
    *("model.hidden_size=32", "model.intermediate_size=64", "objective.max_length=32", "data.batch_tokens=512"),
    *("trainer.max_steps=6", "trainer.validate_every=3", "trainer.log_every=1", "checkpoint.every_steps=2"),
    *("checkpoint.keep_last=9", "optimizer.lr=2e-3", "hardware.workers=0"),
]
EXACT = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"]


def play(folder: Path, *words: str) -> Any:
    path = os.pathsep.join([str(folder), forks.SURROUNDINGS["PYTHONPATH"]])
    return forks.run(*words, cwd=folder, env={"PYTHONPATH": path})


def story(folder: Path, *commands: dict[str, Any]) -> list[list[int]]:
    """The exit statuses of each command's ranks."""
    (folder / "story.json").write_text(json.dumps(commands), encoding="utf-8")
    done = play(folder, "tests.launch.forked_ranks", "story.json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def said(folder: Path, number: int) -> str:
    return (folder / f"{number}.0.log").read_text(encoding="utf-8")


def heldout(run: Path) -> float:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return float([row["val/loss"] for row in csv.DictReader(file) if row["val/loss"]][-1])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {**load_file(run / "model/model.safetensors"), **load_file(run / "model/head.safetensors")}


@pytest.mark.slow
def test_it_trains_resumes_and_is_evaluated_on_any_number_of_processes(small_corpus: list[str], tmp_path: Path) -> None:
    extending.write(tmp_path)
    own = [*OWN, *SMALL, *EXACT, *small_corpus]
    text = [word for word in small_corpus if not word.startswith(("tokenizer.", "corpus.prepared"))]
    held = [*text, "stage=evaluate", "init=runs/one", "objective.max_length=32", "hardware.workers=0"]
    light = ["hardware.precision=bf16-mixed", "hardware.gradient_checkpointing=true"]
    statuses = story(
        tmp_path,
        command([*own, "run=one"]),
        command([*own, "run=one"]),
        command([*own, "run=again", "resume=runs/one/checkpoints/step-00000002.ckpt"]),
        command([*own, "run=ranks"], ranks=2),
        command([*own, "run=parts"], ranks=2, strategy="fsdp"),
        command([*own, *light, "run=light"]),
        command([*own, "run=dry", "--dry-run"]),
        command([*held, "trust=detection", "run=known"]),
        command([*held, "run=untrusted"]),
        command([*OWN[:2], *SMALL, *small_corpus, "module=detection", "run=unlike"]),
        command([*SMALL[2:], *text, "init=runs/one", "run=mlm"]),
    )
    assert statuses == [[0], [0], [0], [0, 0], [0, 0], [0], [0], [0], [2], [2], [0]], said(tmp_path, 0)
    runs = tmp_path / "runs"
    one = weights(runs / "one")

    assert "held-out text" in said(tmp_path, 0)
    assert "Detection predicts no masked tokens" in said(tmp_path, 0)
    assert f"is finished: 6 steps, loss {heldout(runs / 'one'):.3f} on held-out text" in said(tmp_path, 1)
    again = weights(runs / "again")
    assert all(torch.equal(one[name], again[name]) for name in one)
    for run in ("ranks", "parts"):
        assert heldout(runs / run) == pytest.approx(heldout(runs / "one"), rel=1e-3)
        assert weights(runs / run).keys() == one.keys()
    assert "dry run: nothing is written" in said(tmp_path, 6)
    page = (runs / "one/report.html").read_text(encoding="utf-8")
    assert "loss, held out" in page
    assert "accuracy, held out" in page
    assert "masked-token" not in page

    known = json.loads((runs / "known/results.json").read_text(encoding="utf-8"))["heldout"]
    assert known["loss"] == pytest.approx(heldout(runs / "one"), rel=1e-5)
    assert "evaluated with the objective that runs/one was trained with, detection.ReplacedTokens" in said(tmp_path, 7)
    assert "asks for the class detection.Detection of the package detection" in said(tmp_path, 8)
    assert "trust=detection" in said(tmp_path, 8)
    assert "module: detection.Detection takes batches of detection.DetectionBatch, but the obj" in said(tmp_path, 9)
    assert not (runs / "unlike").exists()
    assert "masked_lm_head, next_sentence_head: drawn at random" in said(tmp_path, 10)
    assert "detection_head: of detection.Detection, left out" in said(tmp_path, 10)
    the_folder_tells_what_made_it(tmp_path)


def the_folder_tells_what_made_it(folder: Path) -> None:
    model = folder / "runs/one/model"
    record = json.loads((model / "cloze.json").read_text(encoding="utf-8"))
    assert record["module"] == {"class": "detection.Detection", "arguments": {"positive_weight": 2.0}}
    assert record["objective"] == {
        "class": "detection.ReplacedTokens",
        "arguments": {"max_length": 32, "rate": 0.15},
    }
    assert json.loads((model / "config.json").read_text())["architectures"] == ["BertModel"]
    assert read_pretrained(model).told().startswith("BertModel: encoder, detection_head;")
    convert(folder / "runs/one/checkpoints/step-00000006.ckpt", folder / "saved")
    convert(model, folder / "copy")
    for name in ("saved", "copy"):
        assert json.loads((folder / name / "cloze.json").read_text(encoding="utf-8")) == record
        for file in ("model.safetensors", "head.safetensors"):
            there, here = load_file(folder / name / file), load_file(model / file)
            assert there.keys() == here.keys()
            assert all(torch.equal(there[part], here[part]) for part in here)


@pytest.mark.long  # tests/launch/test_killed.py does so with cloze's own module in every run of the tests
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(small_corpus: list[str], tmp_path: Path) -> None:
    extending.write(tmp_path)
    longer = ["trainer.max_steps=200", "trainer.validate_every=50", "checkpoint.every_steps=10"]
    done = play(tmp_path, "tests.launch.forked", "1", "5", "train.py", *OWN, *SMALL, *longer, *small_corpus)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 5 times" in done.stdout
    one, other = (weights(tmp_path / "runs" / name) for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("target", ["os.system", "cloze.runtime.shell.fitted", "detection.Detection"])
def test_a_folder_chooses_nothing_that_runs_here(
    train: Any, small_corpus: list[str], tmp_path: Path, target: str
) -> None:
    done = train(*SMALL, *small_corpus, "run=stock")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "runs/stock/model/cloze.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["module"]["class"] == "cloze.tasks.masked_lm.MaskedLMPretraining"
    record["module"] = {"class": target, "arguments": {"command": "touch here"}}
    file.write_text(json.dumps(record), encoding="utf-8")
    text = [word for word in small_corpus if not word.startswith(("tokenizer.", "corpus.prepared"))]
    done = train(*text, "stage=evaluate", "init=runs/stock", "objective.max_length=32", "run=evaluated")
    assert done.returncode == 2, done.stderr
    assert f"asks for the class {target}" in done.stderr or f"asks for {target}, which is no class" in done.stderr
    assert not (tmp_path / "here").exists()


class Unsaid(Pretraining):
    """Does not say the type of its batches."""


class Own(MaskedLMPretraining):
    """Does not compile its step."""

    compiles_step = False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["module._target_={}.Unsaid"], "does not say the type of its batches: derive it from Pretraining[MyBatch]"),
        (["objective._target_=collections.Counter"], "must be derived from cloze.data.pretraining.objective.Objective"),
        (["module._target_={}.Own", "hardware=gpu", "++hardware.cuda_graphs=true"], "hardware.cuda_graphs records the"),
    ],
)
def test_a_module_that_does_not_fit_is_refused(words: list[str], message: str) -> None:
    bare = [f"~objective.{key}" for key in ("max_length", "mask_rate", "masking")] if "Counter" in words[0] else []
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        composed = compose("train", ["++run=x", *(word.format(__name__) for word in words), *bare])
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    config = check({str(key): value for key, value in plain.items()}, Config)
    with pytest.raises(InputError, match=re.escape(message)):
        check_module(config)
