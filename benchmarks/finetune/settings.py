"""What is trained and how, once for both sides; and its files, derived from the public ones."""

import csv
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WARMUP_RATIO = 0.1
WEIGHT_DECAY = 0.01
BETAS, EPS = (0.9, 0.999), 1e-6
GRADIENT_CLIP = 1.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One task on both sides.

    Attributes:
        task: `task=...` of our command.
        metric: the score that is compared, as our results name it.
        epochs: passes over the training rows; few, because the figure is speed and parity, not a record.
        lr: the peak learning rate.
    """

    task: str
    metric: str
    epochs: int
    lr: float
    batch_size: int = 32
    max_length: int = 128


SETTINGS = {
    #                         task         metric     epochs  lr
    "rte": Setting(task="glue/rte", metric="accuracy", epochs=2, lr=5e-5),
    "mrpc": Setting(task="glue/mrpc", metric="f1", epochs=2, lr=5e-5),
    "stsb": Setting(task="glue/stsb", metric="spearman", epochs=2, lr=5e-5),
    "cola": Setting(task="glue/cola", metric="matthews", epochs=2, lr=1e-4),
    "sst2": Setting(task="glue/sst2", metric="accuracy", epochs=1, lr=5e-5),
    "wnut17": Setting(task="wnut17", metric="f1", epochs=3, lr=1e-4),
    # A small batch: a hundred steps of 32 leave both sides on the plateau before answers are found at all.
    "squad": Setting(task="squad", metric="f1", epochs=1, lr=1e-4, batch_size=8, max_length=384),
    "codah": Setting(task="codah", metric="accuracy", epochs=2, lr=5e-5, batch_size=16),
}
SUBSET = 8000  # training rows of CoLA and SST-2
TRAIN_QUESTIONS, DEV_QUESTIONS = 3000, 1000


def describe(setting: Setting) -> dict[str, Any]:
    """What makes two results comparable."""
    return asdict(setting)


def data_files(task: str, datasets: Path, folder: Path) -> tuple[Path, Path]:
    """The training and the dev file of a task, made in `folder` where they are not the public ones."""
    if task in ("cola", "sst2"):
        public = datasets / "glue" / {"cola": "CoLA", "sst2": "SST-2"}[task]
        return _subset(public / "train.tsv", folder / f"{task}.tsv", header=task == "sst2"), public / "dev.tsv"
    if task == "squad":
        amazon = json.loads((datasets / "qa" / "squadshifts_amazon_reviews_v1.0.json").read_text(encoding="utf-8"))
        with zipfile.ZipFile(datasets / "qa" / "squad_dev-v1.1.json.zip") as archive:
            squad = json.loads(archive.read("dev-v1.1.json"))
        train, dev = folder / "squad_train.json", folder / "squad_dev.json"
        train.write_text(json.dumps(_first_questions(amazon, TRAIN_QUESTIONS)), encoding="utf-8")
        dev.write_text(json.dumps(_first_questions(squad, DEV_QUESTIONS)), encoding="utf-8")
        return train, dev
    if task == "wnut17":
        return datasets / "ner/wnut17/wnut17train.conll", datasets / "ner/wnut17/emerging.dev.conll"
    if task == "codah":
        return tuple(datasets / "multiple_choice" / "codah" / f"fold_0_{split}.tsv" for split in ("train", "dev"))  # type: ignore[return-value]
    public = datasets / "glue" / {"rte": "RTE", "mrpc": "MRPC", "stsb": "STS-B"}[task]
    return public / "train.tsv", public / "dev.tsv"


def _subset(file: Path, target: Path, *, header: bool) -> Path:
    """A fixed choice of rows, in their order."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    head, rows = (lines[:1], lines[1:]) if header else ([], lines)
    chosen = sorted(random.Random(0).sample(range(len(rows)), SUBSET))
    target.write_text("".join([*head, *(rows[row] for row in chosen)]), encoding="utf-8")
    return target


def _first_questions(squad: dict[str, Any], count: int) -> dict[str, Any]:
    articles = []
    for article in squad["data"]:
        paragraphs = []
        for paragraph in article["paragraphs"]:
            questions = paragraph["qas"][:count]
            count -= len(questions)
            if questions:
                paragraphs.append({**paragraph, "qas": questions})
        if paragraphs:
            articles.append({**article, "paragraphs": paragraphs})
    return {**squad, "data": articles}


Row = dict[str, Any]


def _tsv(file: Path, columns: list[str] | None = None) -> list[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines, columns, delimiter="\t", quoting=csv.QUOTE_NONE))


def _texts(text: str, pair: str | None, label: str, columns: list[str] | None = None) -> Callable[[Path], list[Row]]:
    def read(file: Path) -> list[Row]:
        return [
            {"text": row[text], "text_pair": row[pair] if pair else None, "label": row[label]}
            for row in _tsv(file, columns)
        ]

    return read


def _sentences(file: Path) -> list[Row]:
    sentences: list[Row] = [{"words": [], "tags": []}]
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            word, tag = line.split("\t")
            sentences[-1]["words"].append(word)
            sentences[-1]["tags"].append(tag)
        elif sentences[-1]["words"]:
            sentences.append({"words": [], "tags": []})
    return [sentence for sentence in sentences if sentence["words"]]


def _questions(file: Path) -> list[Row]:
    return [
        {"question": question["question"], "context": paragraph["context"], "answers": question["answers"]}
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def _choices(file: Path) -> list[Row]:
    rows = _tsv(file, ["kind", "text", "a", "b", "c", "d", "label"])
    return [{"text": row["text"], "choices": [row[key] for key in "abcd"], "label": int(row["label"])} for row in rows]


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "rte": _texts("sentence1", "sentence2", "label"),
    "mrpc": _texts("#1 String", "#2 String", "Quality"),
    "stsb": _texts("sentence1", "sentence2", "score"),
    "cola": _texts("text", None, "label", ["source", "label", "star", "text"]),
    "sst2": _texts("sentence", None, "label"),
    "wnut17": _sentences,
    "squad": _questions,
    "codah": _choices,
}
"""The peer's own readers, which know nothing of ours."""
