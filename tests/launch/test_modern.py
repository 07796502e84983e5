"""ModernBERT through the commands: pre-training with pairs at full length, a task, predictions, shapes of no class."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from tests import forks
from tests.tiny import save_tiny_task

Command = Callable[..., subprocess.CompletedProcess[str]]
MODEL = ["model=modern_tiny", "model.hidden_size=32", "model.intermediate_size=48", "model.local_attention=16"]


LONG = [
    "objective.max_length=8192", "data.batch_tokens=16384", "data.phases=[[0.5,64],[0.5,8192]]",
    "hardware.static_shapes=true", "hardware.micro_batch_tokens=16384", "model.num_attention_heads=1",
]  # fmt: skip


def long_text(small_text: Path, file: Path) -> str:
    """Documents of which two are longer than a sequence."""
    text = small_text.read_text(encoding="utf-8").split()
    documents = (text * 2, text[::-1] * 2, *(text[start : start + 300] for start in range(0, 1500, 300)))
    file.write_text("\n\n".join(" ".join(one).replace(". ", ".\n") for one in documents), encoding="utf-8")
    return str(file)


@pytest.fixture
def words(small_text: Path) -> list[str]:
    return [
        "corpus=text", f"corpus.files={small_text}", "corpus.prepared=prepared", "preparation.workers=0",
        "preparation.heldout_fraction=0.2", "tokenizer.vocab_size=300", *MODEL, "objective.max_length=64",
        "data.batch_tokens=512", "trainer.validate_every=2", "trainer.log_every=1", "checkpoint.every_steps=1",
        "checkpoint.keep_last=9",
    ]  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model/model.safetensors") | load_file(run / "model/head.safetensors")  # type: ignore[no-any-return]


def test_it_is_trained_at_full_length_resumed_and_read_by_transformers(
    train: Command, words: list[str], small_text: Path, tmp_path: Path
) -> None:
    """Pairs of sentences of 8,192 tokens, after short ones, in one constant shape."""
    text = f"corpus.files={long_text(small_text, tmp_path / 'long.txt')}"
    words = [*words, *LONG, text, "trainer.max_steps=2"]
    done = train(*words, "run=whole")
    assert done.returncode == 0, done.stderr
    done = train(*words, "run=again", "resume=runs/whole/checkpoints/step-00000001.ckpt")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "runs/whole/metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert float(rows[1]["data/tokens"]) - float(rows[0]["data/tokens"]) > 8192
    whole, again = (weights(tmp_path / "runs" / run) for run in ("whole", "again"))
    assert whole.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
    assert "next_sentence_head.classifier.weight" in whole
    theirs, told = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "runs/whole/model", output_loading_info=True
    )
    assert isinstance(theirs, transformers.ModernBertForMaskedLM)
    assert not any(told.values()), told
    start = [word for word in words if not word.startswith(("model", "tokenizer"))]
    done = train(*start, "init=runs/whole", "run=longer", "grow.positions=repeat", "model.max_position_embeddings=9000")
    assert done.returncode == 2
    assert "grow.positions=repeat is for learned positions, but runs/whole is a ModernBERT" in done.stderr


def test_a_task_and_predictions(train: Command, finetune: Command, words: list[str], tmp_path: Path) -> None:
    assert train(*words, "trainer.max_steps=2", "run=first", "optimizer=muon").returncode == 0
    texts = [f"The file returns {'a small object ' * count}" for count in (0, 1, 3, 6)]
    rows = "".join(f"{text},{('good', 'bad')[number % 2]}\n" for number, text in enumerate(texts))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows * 4}", encoding="utf-8")
    windows = ["task.long=windows", "task.max_length=12", "trainer.max_steps=2", "trainer.max_epochs=null"]
    data = ["task=classification", "task.data.train=t.csv", "task.data.dev=t.csv"]
    done = finetune("model=runs/first/model", *data, *windows, "run=task")
    assert done.returncode == 0, done.stderr
    assert "note: pooler: from the folder; classifier: drawn at random\n" in done.stderr
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "runs/task/model")
    assert isinstance(theirs, transformers.ModernBertForSequenceClassification)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "runs/task/model")
    said = (tmp_path / "runs/task/predictions/dev.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(said) == 4 * len(texts)  # one of each text, however many windows it has
    for text, line in zip(texts, said, strict=False):
        cut = tokenizer(
            text, truncation=True, max_length=12, stride=5, return_overflowing_tokens=True, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            logits = theirs.eval()(input_ids=cut["input_ids"], attention_mask=cut["attention_mask"]).logits.mean(0)
        found = json.loads(line)["probabilities"]
        expected = torch.softmax(logits, 0).tolist()
        assert [found["bad"], found["good"]] == pytest.approx(expected, abs=1e-5)
    assert "in overlapping windows" in done.stderr
    again = finetune("model=runs/task/model", "task=classification", "task.data.test=t.csv", "run=p", "stage=predict")
    assert again.returncode == 0, again.stderr


def test_a_shape_of_no_class_is_trained_and_reaches_further(train: Command, words: list[str], tmp_path: Path) -> None:
    own = ["model.norm_type=rms", "model.type_vocab_size=2", "model.max_position_embeddings=64"]
    done = train(*words, *own, "trainer.max_steps=1", "run=own")
    assert done.returncode == 0, done.stderr
    (note,) = (line for line in done.stderr.splitlines() if "transformers" in line)
    assert note == (
        "note: no class of transformers computes a ModernBERT with type_vocab_size=2, norm_type=rms: only cloze reads "
        "the model's folder"
    )
    start = [word for word in words if not word.startswith(("model", "tokenizer", "objective"))]
    longer = [
        "init=runs/own", "corpus.prepared=longer", "objective.max_length=128", "model.max_position_embeddings=256",
        "model.local_rope_theta=160000",
        "model.global_rope_scaling={rope_type: yarn, factor: 4, original_max_position_embeddings: 64}",
    ]  # fmt: skip
    done = train(*start, *longer, "trainer.max_steps=1", "run=longer")
    assert done.returncode == 0, done.stderr
    for note in (
        "192 new positions beyond 64, computed",
        "local_rope_theta is 160000 from now on; runs/own has 10000.0",
    ):
        assert note in done.stderr
    config = json.loads((tmp_path / "runs/longer/model/config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["max_position_embeddings"]) == ("cloze_modernbert", 256)
    assert config["rope_parameters"] == {
        "full_attention": {
            "rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "rope_theta": 160000.0,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 160000},
    }  # fmt: skip
    done = train(*start, *longer, "model.global_rope_scaling.rope_type=ntk", "trainer.max_steps=1", "run=refused")
    assert done.returncode == 2
    assert "rope_type is 'ntk', but only default, linear and yarn are supported" in done.stderr


def test_a_task_as_int8_is_scored_next_to_the_model(finetune: Command, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    save_tiny_task("classification", tmp_path / "model", num_hidden_layers=1)
    (tmp_path / "t.csv").write_text("text,label\n" + "the cab,good\na bed,bad\n" * 4, encoding="utf-8")
    done = forks.run(
        "cloze-convert", "from=model", "to=int8", "format=onnx", "quantize=int8", "texts=t.csv", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "on 9 texts int8 outputs differ from those in fp32 by" in done.stdout
    words = [
        "model=model",
        "task=classification",
        "task.data.dev=t.csv",
        "run=scored",
        "task.max_length=32",
        "onnx=int8/model.onnx",
    ]
    done = finetune(*words, "stage=evaluate")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["split", "metric", "score", "model", "folder"]
    accuracy = next(row.split() for row in rows if " accuracy " in row)
    assert float(accuracy[-2]) == pytest.approx(float(accuracy[-1]), abs=0.26)
    refused = finetune(*words)
    assert (refused.returncode, "onnx=int8/model.onnx is for stage=evaluate" in refused.stderr) == (2, True)
