"""The worked example of docs/new_task.md, as a reader would try it: files copied from the page, commands run."""

import csv
import json
import os
import random
import re
import sys
from pathlib import Path

import pytest

from tests import processes

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "new_task.md").read_text(encoding="utf-8")
WORDS = {1: "awful", 2: "poor", 3: "fair", 4: "good"}
SMALL = [
    "model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "tokenizer.vocab_size=120", "optimizer.lr=5e-3"
]  # fmt: skip


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

    run(tmp_path, "task=ratings", *SMALL, "trainer.max_epochs=15", "task.batch_size=16")
    folder = tmp_path / "runs" / "ratings"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["dev"]["within_one"] > 0.8
    assert results["dev"]["accuracy"] > 0.6
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == ["above 1", "above 2", "above 3"]

    run(tmp_path, "task=ratings", "stage=predict", "model=runs/ratings/model", "task.data.test=new.csv", "run=new")
    lines = (tmp_path / "runs" / "new" / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    assert {json.loads(line)["prediction"] for line in lines} <= set(WORDS)


def run(folder: Path, *words: str) -> None:
    command = [sys.executable, str(REPOSITORY / "finetune.py"), "--config-dir", "my_conf", *words]
    environment = {**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    processes.run(command, cwd=folder, env=environment, check=True)
