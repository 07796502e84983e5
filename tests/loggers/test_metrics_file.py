import csv
from pathlib import Path

from cloze.loggers import MetricsFile


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_metrics_of_one_step_share_a_row_and_columns_may_come_later(tmp_path: Path) -> None:
    file = tmp_path / "run" / "metrics.csv"
    metrics = MetricsFile(file)
    metrics.log_metrics({"train/loss": 2.0, "epoch": 0}, step=4)
    metrics.save()
    assert read(file) == [{"step": "5", "train/loss": "2"}]

    metrics.log_metrics({"val/loss": 3.0}, step=4)
    metrics.save()
    metrics.log_metrics({"train/loss": 1.0}, step=9)
    metrics.save()
    metrics.save()
    assert read(file) == [
        {"step": "5", "train/loss": "2", "val/loss": "3"},
        {"step": "10", "train/loss": "1", "val/loss": ""},
    ]


def test_a_resumed_run_keeps_the_rows_before_its_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    metrics = MetricsFile(file)
    for step in (4, 9, 14):
        metrics.log_metrics({"loss": float(step)}, step=step)
        metrics.save()
    resumed = MetricsFile(file, resume_step=10)
    resumed.log_metrics({"loss": 100.0, "new": 1.0}, step=14)
    resumed.save()
    assert [(row["step"], row["loss"], row["new"]) for row in read(file)] == [
        ("5", "4", ""),
        ("10", "9", ""),
        ("15", "100", "1"),
    ]


def test_counts_are_written_in_full(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.log_metrics({"data/tokens": 123456789.0, "loss": 2.123456789}, step=4)
    metrics.save()
    assert read(tmp_path / "metrics.csv") == [{"step": "5", "data/tokens": "123456789", "loss": "2.12346"}]
