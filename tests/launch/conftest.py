"""Fixtures of the tests that launch training."""

import csv
import random

import pytest


@pytest.fixture(scope="session")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a command line that fine-tunes, without dropout, on reviews whose words tell their stars."""
    numbers = random.Random(1)
    words = {"good": ["fine", "lovely", "great", "superb"], "bad": ["awful", "dull", "poor", "boring"]}
    folder = tmp_path_factory.mktemp("table")
    for name, count in (("train", 160), ("dev", 40)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["review", "stars"])
            for _ in range(count):
                stars = numbers.choice(sorted(words))
                said = [numbers.choice(words[stars]) for _ in range(2)]
                writer.writerow([f"the film was {said[0]} and {said[1]}{' in the end' * numbers.randrange(4)}", stars])
    return [
        "task=classification",
        f"task.data.train={folder}/train.csv",
        f"task.data.dev={folder}/dev.csv",
        "task.data.text=review",
        "task.data.label=stars",
        "task.batch_size=32",
        "task.max_length=32",
        "tokenizer.vocab_size=150",
        "model=tiny",
        "model.hidden_size=32",
        "model.intermediate_size=64",
        "model.max_position_embeddings=64",
        "model.hidden_dropout_prob=0",
        "model.attention_probs_dropout_prob=0",
        "optimizer.lr=1e-3",
        "trainer.max_steps=12",
        "trainer.log_every=3",
        "hardware.micro_batch_tokens=128",
    ]
