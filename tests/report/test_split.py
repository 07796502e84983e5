"""The report of a split: classes and confusions against torchmetrics, the files that are left."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from cloze.data.tables.examples import Prediction
from cloze.metrics.entities import bio2, entities, entity_scores
from cloze.report.classes import class_scores, confusion
from cloze.report.picture import confusion_picture
from cloze.report.predictions import readable
from cloze.report.split import rankings, write_report
from tests.report.records import ANSWERS, CHOICES, PARTS_OF_SPEECH, SCORES, SEVERAL, TAGS, TEXTS

LABELS = ["no", "maybe", "yes", "never"]


def random_records(count: int, seed: int) -> list[dict[str, Any]]:
    numbers = random.Random(seed)
    return [
        {"id": str(i), "text": "t", "prediction": numbers.choice(LABELS[:3]), "label": numbers.choice(LABELS[:3])}
        for i in range(count)
    ]


def test_classes_and_confusions_are_those_of_torchmetrics() -> None:
    records = random_records(200, seed=1)
    found, true = (torch.tensor([LABELS.index(record[key]) for record in records]) for key in ("prediction", "label"))
    matrix = confusion(records, LABELS)
    assert matrix is not None
    assert matrix.labels == LABELS
    assert np.array_equal(matrix.counts, multiclass_confusion_matrix(found, true, num_classes=4).numpy())
    scores = class_scores(records, LABELS)
    assert [score.name for score in scores] == LABELS
    assert [score.support for score in scores] == torch.bincount(true, minlength=4).tolist()
    for name, oracle in (
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("f1", multiclass_f1_score),
    ):
        expected = oracle(found, true, num_classes=4, average="none")
        torch.testing.assert_close(torch.tensor([getattr(score, name) for score in scores]), expected)


def test_each_shape_has_its_rows() -> None:
    assert [tuple(score) for score in class_scores(SEVERAL, ["a", "b"])] == [
        ("a", 0.5, 1.0, pytest.approx(2 / 3), 1),
        ("b", 1.0, 0.5, pytest.approx(2 / 3), 2),
    ]
    tags = ["B-LOC", "B-PER", "I-PER", "O"]
    assert [tuple(score) for score in class_scores(TAGS, tags)] == [
        ("LOC", 0.0, 0.0, 0.0, 1),
        ("PER", 0.5, 1.0, pytest.approx(2 / 3), 1),
    ]
    matrix = confusion(TAGS, tags)
    assert matrix is not None
    assert matrix.labels == ["O", "LOC", "PER"]
    assert matrix.counts.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_the_classes_are_told_with_their_rankings(tmp_path: Path) -> None:
    write_report(SEVERAL, tmp_path, "dev", labels=["a", "b"], metrics={"auroc": 0.5}, thresholds={"a": 0.25, "b": 0.5})
    page = (tmp_path / "dev_report.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert ["class", "precision", "recall", "F1", "AUROC", "average precision", "threshold", "support"] in rows
    assert ["a", "0.500", "1.000", "0.667", "1.000", "1.000", "0.250", "1"] in rows
    assert ["b", "1.000", "0.500", "0.667", "0.500", "0.833", "0.500", "2"] in rows
    found = rankings(SEVERAL[:1], ["a", "b"])
    assert math.isnan(found["AUROC"]["a"])
    assert rankings(TEXTS, ["neg", "pos"]) == {}  # they have no probabilities


def test_tags_that_make_no_entities_count_word_by_word() -> None:
    tags = ["DET", "NOUN", "VERB"]
    assert [tuple(score) for score in class_scores(PARTS_OF_SPEECH, tags)] == [
        ("DET", 1.0, 1.0, 1.0, 1),
        ("NOUN", 0.0, 0.0, 0.0, 1),
        ("VERB", 0.5, 1.0, pytest.approx(2 / 3), 1),
    ]
    matrix = confusion(PARTS_OF_SPEECH, tags)
    assert matrix is not None
    assert (matrix.labels, matrix.counts.tolist()) == (tags, [[1, 0, 0], [0, 0, 1], [0, 0, 1]])


TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@given(st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=8), min_size=1, max_size=6))
def test_entities_are_confused_as_they_are_scored(sentences: list[list[tuple[str, str]]]) -> None:
    """Diagonal, rows and columns are what precision and recall are made of; an error is a sentence that lost points."""
    pairs = [[list(bio2(tags)) for tags in zip(*sentence, strict=True)] for sentence in sentences]
    records: list[dict[str, Any]] = [
        {"words": label, "prediction": said, "entities": [], "label": label, "correct": label == said}
        for label, said in pairs
    ]
    matrix = confusion(records, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])
    assert matrix is not None
    right, true, found = np.diag(matrix.counts), matrix.counts.sum(axis=1), matrix.counts.sum(axis=0)
    expected = [
        (name, right[n] / max(1, found[n]), right[n] / max(1, true[n]), true[n])
        for n, name in enumerate(matrix.labels)
        if n and (true[n] or found[n])
    ]
    assert [(s.name, s.precision, s.recall, s.support) for s in class_scores(records, [])] == expected
    wrong = [record for record in records if not record["correct"]]
    assert bool(wrong) == bool((matrix.counts - np.diag(right)).any())
    assert wrong or entity_scores(*zip(*pairs, strict=True)).overall.f1 in (0.0, 1.0)
    assert all(set(entities(record["label"])) != set(entities(record["prediction"])) for record in wrong)
    assert all(readable(record)["prediction"] or readable(record)["label"] for record in wrong)


@pytest.mark.parametrize("records", [SCORES, CHOICES, ANSWERS], ids=["scores", "choices", "answers"])
def test_shapes_without_classes_have_none(records: list[Prediction]) -> None:
    assert class_scores(records, []) == []
    assert confusion(records, []) is None


def test_the_files_of_a_labelled_split(tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    write_report(TEXTS, folder, "dev", labels=["neg", "pos"], metrics={"accuracy": 0.5, "f1": 0.5})
    assert {path.name for path in folder.iterdir()} == {
        "dev.jsonl", "dev.csv", "dev_errors.md", "dev_errors.csv", "dev_report.md", "dev_confusion.csv",
        "dev_confusion.png",
    }  # fmt: skip
    frame = pd.read_csv(folder / "dev_confusion.csv", index_col="label")
    assert frame.to_dict("index") == {"neg": {"neg": 1, "pos": 1}, "pos": {"neg": 1, "pos": 1}}
    report = (folder / "dev_report.md").read_text(encoding="utf-8")
    assert report.startswith("# dev: 4 labelled examples\n\n| metric   | value  |\n")
    assert "| neg   | 0.500     | 0.500  | 0.500 | 2       |" in report
    assert "| neg   | 1   | 1   |" in report


def test_many_classes_show_the_commonest_confusions(tmp_path: Path) -> None:
    labels = [f"class {i}" for i in range(40)]
    records = [
        {"id": str(i), "text": "t", "prediction": labels[i % 40], "label": labels[i % 7], "correct": i % 40 == i % 7}
        for i in range(300)
    ]
    write_report(records, tmp_path, "test", labels=labels, metrics={"accuracy": 0.1})
    assert not (tmp_path / "test_confusion.png").exists()
    report = (tmp_path / "test_report.md").read_text(encoding="utf-8")
    assert len(report.partition("The most frequent confusions:")[2].strip().splitlines()) == 2 + 20 + 2


def test_a_split_without_labels_has_predictions_only(tmp_path: Path) -> None:
    write_report([{"id": "1", "text": "t", "prediction": "pos"}], tmp_path, "test", labels=["neg", "pos"], metrics={})
    assert {path.name for path in tmp_path.iterdir()} == {"test.jsonl", "test.csv"}


@pytest.mark.parametrize("labels", [["正面", "$5-$10"], [f"label number {i}" for i in range(30)]], ids=len)
def test_the_picture_is_a_png(labels: list[str]) -> None:
    matrix = np.random.default_rng(1).integers(0, 2000, (len(labels), len(labels)))
    picture = confusion_picture(matrix, labels, "dev")
    assert picture.startswith(b"\x89PNG")
