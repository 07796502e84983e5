"""Tags of every kind through the command: what is trained on, scored and predicted."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from cloze.cli.predict import main as predict
from tests.command import Command

SMALL = [
    *("model=tiny", "model.hidden_size=32", "model.num_hidden_layers=1", "model.num_attention_heads=2"),
    *(
        "model.intermediate_size=64",
        "model.max_position_embeddings=64",
        "task.max_length=32",
        "tokenizer.vocab_size=120",
    ),
    *("task=token_classification", "trainer.max_steps=60", "optimizer.lr=1e-2", "task.batch_size=16"),
    "hardware.threads=1",
]
PLACES = ["Rome", "New York", "St. Ives", "Łódź"]


def texts(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences with one or two places, each before a comma or a full stop."""
    numbers, found = random.Random(seed), []
    for _ in range(count):
        text, spans = "Yesterday", []
        for verb in ("we saw", "they left")[: numbers.randint(1, 2)]:
            place = numbers.choice(PLACES)
            text += f" {verb} {place}"
            spans.append([len(text) - len(place), len(text), "LOC"])
            text += ", then"
        found.append({"text": f"{text} it rained.", "label": spans})
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def results(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "results.json").read_text(encoding="utf-8"))["dev"]
    return found


def test_character_spans_in_and_out(
    tmp_path: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train, dev, new = texts(120, 1), texts(20, 2), texts(30, 3)
    files = [
        f"task.data.{name}={write(tmp_path / f'{name}.jsonl', rows)}" for name, rows in (("train", train), ("dev", dev))
    ]
    ran = finetune(*SMALL, *files, "run=places")
    assert ran.returncode == 0, ran.stderr
    assert results(tmp_path / "runs/places")["f1"] > 0.95
    said = [json.loads(line) for line in (tmp_path / "runs/places/predictions/dev.jsonl").read_text().splitlines()]
    assert [row["text"] for row in said] == [row["text"] for row in dev]
    for row, right in zip(said, dev, strict=True):
        assert row["correct"] == ([[e["start"], e["end"], e["label"]] for e in row["entities"]] == right["label"])
    write(tmp_path / "new.jsonl", [{"text": row["text"]} for row in new])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["cloze-predict", "model=runs/places/model", "input=new.jsonl", "hardware.threads=1"]
    )
    assert predict() == 0
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    right = sum(
        [[e["start"], e["end"], e["label"]] for e in s["entities"]] == r["label"]
        for s, r in zip(said, new, strict=True)
    )
    assert right > 0.9 * len(new)
    assert all(e["text"] == row["text"][e["start"] : e["end"]] for row in said for e in row["entities"])


@pytest.mark.parametrize("kind", ["columns", "conllu", "numbers"])
def test_classes_of_words_are_scored_by_accuracy(tmp_path: Path, finetune: Command, kind: str) -> None:
    words = {"a": "DET", "the": "DET", "dog": "NOUN", "cat": "NOUN", "runs": "VERB", "sees": "VERB", ".": "PUNCT"}
    names = ["DET", "NOUN", "PUNCT", "VERB"]
    numbers = random.Random(1)
    orders = [
        ["a", "dog", "sees", "the", "cat", "."],
        ["the", "cat", "runs", "."],
        ["a", "cat", "sees", "a", "dog", "."],
    ]
    files = []
    for split, count in (("train", 90), ("dev", 15)):
        sentences = [numbers.choice(orders) for _ in range(count)]
        path = tmp_path / f"{split}.{ {'columns': 'txt', 'conllu': 'conllu', 'numbers': 'jsonl'}[kind] }"
        if kind == "numbers":
            write(
                path, [{"tokens": s, "pos_tags": [names.index(words[w]) for w in s], "names": names} for s in sentences]
            )
        else:
            line = "{n}\t{w}\t_\t{t}\t_\t_\t_\t_\t_\t_" if kind == "conllu" else "{w}\t{t}"
            blocks = ["\n".join(line.format(n=n, w=w, t=words[w]) for n, w in enumerate(s, 1)) for s in sentences]
            path.write_text("\n\n".join(blocks) + "\n")
        files.append(f"task.data.{split}={path}")
    ran = finetune(*SMALL, *files, "run=pos", *(["task.data.label_names=names"] if kind == "numbers" else []))
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "runs/pos"
    found = results(folder)
    assert list(found) == ["accuracy", "macro_f1"]
    assert found["accuracy"] > 0.95
    said = json.loads((folder / "predictions/dev.jsonl").read_text().splitlines()[0])
    assert list(said) == ["id", "words", "prediction", "probability", "label", "correct"]
    config = json.loads((folder / "model/config.json").read_text())
    assert list(config["id2label"].values()) == names
    report = (folder / "predictions/dev_report.md").read_text()
    assert "| VERB  |" in report
