"""The worked example of docs/new_task.md, as a reader would try it: files copied from the page, commands run."""

import csv
import json
import os
import random
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import forks

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "new_task.md").read_text(encoding="utf-8")
WORDS = {1: "awful", 2: "poor", 3: "fair", 4: "good"}
SMALL = [
    "model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "tokenizer.vocab_size=120", "optimizer.lr=5e-3"
]  # fmt: skip

LOADED = """
import csv, json
import cloze
from cloze.checkpoint.pretrained import read_pretrained
from cloze.demo.reader import Reader
from cloze.inference.predictor import Inference

texts = [row["review"] for row in csv.DictReader(open("new.csv"))]
reader = Reader(read_pretrained("hf"), Inference(), top_k=1, trust=["ratings"])
shown = [reader.predict("task", {"text": text}).prediction["prediction"] for text in texts]
print(json.dumps([[said["prediction"] for said in cloze.load("hf", trust="ratings").predict(texts)], shown]))
"""
EXPORTED = """
import csv, json
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

session = onnxruntime.InferenceSession("onnx/model.onnx", providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file("onnx/tokenizer.json")
rated = []
for row in csv.DictReader(open("new.csv")):
    ids = np.array([tokenizer.encode(row["review"]).ids])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    rated.append(1 + int((session.run(None, given)[0] > 0).sum()))
print(json.dumps(rated))
"""


def write_reviews(file: Path, count: int, *, labelled: bool) -> None:
    numbers = random.Random(count)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "stars"] if labelled else ["review"])
        for _ in range(count):
            stars = numbers.choice(sorted(WORDS))
            review = f"the film, which we saw, was {WORDS[stars]}"
            writer.writerow([review, stars] if labelled else [review])


@pytest.mark.slow
def test_the_worked_example_trains_and_predicts(tmp_path: Path) -> None:
    (tmp_path / "my_conf" / "task").mkdir(parents=True)
    for name, text in re.findall(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_reviews(tmp_path / "train.csv", 256, labelled=True)
    write_reviews(tmp_path / "dev.csv", 40, labelled=True)
    write_reviews(tmp_path / "new.csv", 8, labelled=False)

    run(tmp_path, "task=ratings", *SMALL, "trainer.max_epochs=12", "task.batch_size=16")
    folder = tmp_path / "runs" / "ratings"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["dev"]["within_one"] > 0.8
    assert results["dev"]["accuracy"] > 0.6
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == ["above 1", "above 2", "above 3"]

    run(tmp_path, "task=ratings", "stage=predict", "model=runs/ratings/model", "task.data.test=new.csv", "run=new")
    lines = (tmp_path / "runs" / "new" / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    rated = [json.loads(line)["prediction"] for line in lines]
    assert {*rated} <= set(WORDS)
    predicts_wherever_it_is(tmp_path, rated)


def predicts_wherever_it_is(folder: Path, rated: list[int]) -> None:
    """The folder is taken elsewhere, without its task: the command, Python, the demo and ONNX say the same."""
    for target in ("hf", "onnx") if find_spec("onnxruntime") else ("hf",):
        python(folder, "cloze-convert", "from=runs/ratings/model", f"to={target}", f"format={target}")
        record = json.loads((folder / target / "cloze.json").read_text(encoding="utf-8"))
        assert record["module"] == {"class": "ratings.Rating", "arguments": {}}
        assert record["features"]["arguments"] == {"max_length": 128, "problem": "regression"}
    words = ["cloze-predict", "model=hf", "input=new.csv", "columns.text=review"]
    refused = python(folder, *words, status=2)
    assert "asks for the class ratings.Rating of the package ratings" in refused.stderr
    assert "add trust=ratings" in refused.stderr
    said = python(folder, *words, "trust=ratings").stdout.splitlines()
    assert [json.loads(line)["prediction"] for line in said] == rated
    for output in ("new.parquet", "new_said.csv"):
        python(folder, *words, "trust=ratings", f"output={output}")
    assert pq.read_table(folder / "new.parquet")["prediction"].to_pylist() == rated
    assert json.loads(python(folder, "-c", LOADED).stdout) == [rated, rated]
    if find_spec("onnxruntime"):
        assert json.loads(python(folder, "-c", EXPORTED).stdout) == rated


def run(folder: Path, *words: str) -> None:
    python(folder, "finetune.py", "--config-dir", "my_conf", *words)


def python(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command, or `-c`, in a process that finds the reader's own files."""
    path = os.pathsep.join([".", forks.SURROUNDINGS["PYTHONPATH"]])
    done = forks.run(*words, cwd=folder, env={"PYTHONPATH": path})
    assert done.returncode == status, done.stderr
    return done
