"""Stories of tables through the command: what people have in their cells, from the file to the predictions."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.command import Command

SMALL = [
    "model=tiny", "model.hidden_size=16", "model.num_hidden_layers=1", "model.num_attention_heads=1",
    "model.intermediate_size=32", "model.max_position_embeddings=32", "tokenizer.vocab_size=100", "task.max_length=32",
    "trainer.max_steps=6", "trainer.log_every=3", "hardware.threads=1",
]  # fmt: skip


def write(file: Path, rows: Sequence[Sequence[object]]) -> str:
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows(rows)
    return str(file)


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of texts that name their topics, and of those topics with ; between them."""
    numbers, folder = random.Random(2), tmp_path_factory.mktemp("topics")
    files = {}
    for split, count in (("train", 60), ("dev", 20)):
        found = [sorted(set(numbers.choices("abc", k=numbers.randrange(4)))) for _ in range(count)]
        rows = [(f"of {' and '.join(names)} here", ";".join(names)) for names in found]
        files[split] = write(folder / f"{split}.csv", [("text", "labels"), *rows])
    return files


def test_labels_are_told_before_training_and_a_separator_is_taken_as_typed(
    finetune: Command, topics: dict[str, str]
) -> None:
    words = ["task=multilabel", f"task.data.train={topics['train']}", f"task.data.dev={topics['train']}", *SMALL]
    whole = finetune(*words, "run=whole")
    assert whole.returncode == 0, whole.stderr
    assert "if ';' stands between labels, give 'task.data.separator=;'" in whole.stderr
    assert "\na;b " in whole.stderr
    cut = finetune(*words, f"task.data.dev={topics['dev']}", "run=cut", "task.data.separator=;")
    assert cut.returncode == 0, cut.stderr
    assert "stands between labels" not in cut.stderr
    told = [line.split() for line in cut.stderr.splitlines()]
    assert told[:2] == [["train", "dev"], ["rows", "60", "20"]]
    assert [row[0] for row in told[2:5]] == ["a", "b", "c"]
