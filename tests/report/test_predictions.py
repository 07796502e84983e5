"""The files of predictions, read back by the readers that people use."""

import csv
import json
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import pytest

from cloze.report.predictions import readable, worst, write_errors, write_predictions
from tests.report.records import ANSWERS, CHOICES, PARTS_OF_SPEECH, RAW, SCORES, SEVERAL, TAGS, TEXTS


def test_json_lines_and_csv_hold_the_same_records(tmp_path: Path) -> None:
    write_predictions([*TEXTS, *SEVERAL], tmp_path / "dev")
    lines = (tmp_path / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [*TEXTS, *SEVERAL]

    frame = pd.read_csv(tmp_path / "dev.csv", dtype={"id": str})
    assert list(frame.columns) == [
        *("id", "text", "prediction", "probability", "label", "correct"),
        *("prediction_a", "prediction_b", "probability_a", "probability_b", "missed", "extra"),
    ]
    assert list(frame["prediction_b"])[4:] == [0, 1, 0]
    assert list(frame["probability_b"])[4:] == [0.2, 0.8, 0.3]
    assert list(frame["text"][:4]) == [record["text"] for record in TEXTS]
    assert list(frame["correct"]) == [True, False, False, True, False, False, True]
    assert json.loads(frame["label"][4]) == ["a", "b"]
    assert (tmp_path / "dev.csv").read_bytes().startswith(b"\xef\xbb\xbf")  # how Excel knows UTF-8
    with (tmp_path / "dev.csv").open(encoding="utf-8-sig", newline="") as rows:
        assert [row["text"] for row in csv.DictReader(rows)] == [record["text"] for record in [*TEXTS, *SEVERAL]]


def test_no_prediction_is_a_file_all_the_same(tmp_path: Path) -> None:
    write_predictions([], tmp_path / "test")
    assert (tmp_path / "test.jsonl").read_bytes() == b""


def test_the_surest_errors_come_first(tmp_path: Path) -> None:
    assert [record["id"] for record in worst(TEXTS)] == ["3", "2"]
    assert [record["id"] for record in worst(SCORES, most=1)] == ["b"]
    assert [record["id"] for record in worst(SEVERAL)] == ["0", "1"]  # sure at 0.8 that it is not b, at 0.6 of a
    write_errors(TEXTS, tmp_path / "dev")
    lines = (tmp_path / "dev_errors.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# dev: the 2 most confident errors"
    assert lines[4] == r'| 3   | "so", \*so\* | neg        | 0.8         | pos   |'
    assert lines[5] == "| 2   | line one     | pos        | 0.6         | neg   |"
    assert len(lines) == 6
    assert list(pd.read_csv(tmp_path / "dev_errors.csv")["id"]) == [3, 2]


def test_no_error_is_said(tmp_path: Path) -> None:
    write_errors(TEXTS[:1], tmp_path / "dev")
    assert (tmp_path / "dev_errors.md").read_text(encoding="utf-8").endswith("\nNone.\n")
    assert len(pd.read_csv(tmp_path / "dev_errors.csv")) == 0


@pytest.mark.parametrize(
    ("record", "cells"),
    [
        (TAGS[0], {"words": "Ada King in Rome", "prediction": "Rome/PER", "label": "Rome/LOC"}),
        (RAW[0], {"text": "in St. Ives", "prediction": "St./LOC", "label": "St. Ives/LOC"}),
        (PARTS_OF_SPEECH[0], {"words": "a dog", "prediction": "dog/VERB", "label": "dog/NOUN"}),
        (CHOICES[0], {"text": "He", "prediction": "0: ran.", "label": "1: sat."}),
        (ANSWERS[0], {"question": "Who?", "prediction": "Ada", "label": "Ada King; King"}),
        (SCORES[1], {"text": "u", "text_pair": "v", "prediction": "1", "label": "4", "error": "3"}),
        (SEVERAL[0], {"text": "t", "prediction": "a", "label": "a; b", "missed": "b 0.2", "extra": ""}),
        (SCORES[2], {"text": "y", "prediction": "joy 0.5; fear 0.25", "label": "joy 1; fear 0", "error": "0.375"}),
    ],
)
def test_a_record_for_the_eye(record: dict[str, object], cells: dict[str, str]) -> None:
    shown = readable(record)
    assert {key: value for key, value in shown.items() if key not in ("id", "probability")} == cells


def test_long_texts_are_cut() -> None:
    text = readable(TEXTS[3])["text"]
    assert len(text) <= 300
    assert text.endswith("überlang üb…")
