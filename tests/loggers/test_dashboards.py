"""What dashboards hold after runs that were killed, resumed, swept and fine-tuned, read back from their files."""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.loggers.conftest import SECRET
from tests.loggers.records import WandbRecords, tensorboard_events, tensorboard_text

for package in ("wandb", "tensorboard", "mlflow"):
    pytest.importorskip(package)

SECTIONS = ("train/", "val/", "speed/", "optim/", "data/")
EXPECTED = {
    *(f"{stage}/{name}" for stage in ("train", "val") for name in ("loss", "masked_lm_loss", "masked_lm_accuracy")),
    *(f"{stage}/masked_lm_perplexity" for stage in ("train", "val")),
    *(f"{stage}/next_sentence_{name}" for stage in ("train", "val") for name in ("loss", "accuracy", "majority")),
    *(f"speed/{name}" for name in ("tokens_per_second", "data_wait_share", "mfu", "memory_gib", "seconds")),
    *("optim/lr", "optim/gradient_norm", "optim/update_ratio/blocks", "optim/update_ratio/embeddings_and_heads"),
    *("optim/update_ratio/biases_and_norms", "speed/seconds_left", "data/tokens", "data/epochs"),
}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_metric_is_in_a_section_and_the_file_has_them_all(runs: Path) -> None:
    found = rows(runs / "told")
    assert [row["step"] for row in found] == ["5", "10", "15", "20"]
    names = set(found[0]) - {"step"}
    assert names >= EXPECTED
    assert all(name.startswith(SECTIONS) for name in names)
    tokens = [int(row["data/tokens"]) for row in found]
    assert 4500 < tokens[0] < 5120  # five batches of at most 1024
    assert all(4500 < after - before < 5121 for before, after in itertools.pairwise(tokens))
    assert [bool(row["val/loss"]) for row in found] == [False, True, False, True]
    for row in found:
        assert all(1e-6 < float(row[name]) < 1 for name in names if "update_ratio" in name)
        assert 0.05 < float(row["speed/memory_gib"]) < 50
    epochs = float(found[-1]["data/epochs"])
    assert 2 < epochs < 5
    assert float(found[-1]["speed/seconds_left"]) == 0


def test_weights_and_biases_has_one_run_whose_rows_go_on_where_they_ended(runs: Path) -> None:
    records = WandbRecords(runs / "told")
    opened = records.of("run")
    assert len(records.processes) == 2
    assert len({run["run_id"] for run in opened}) == 1
    for run in opened:
        assert (run["project"], run["tags"], run["notes"], run["display_name"]) == ("mine", ["a", "b"], "why", "told")
        assert "run_group" not in run
        assert run["config"]["update"]["optimizer"]["lr"] > 0
        assert run["config"]["update"]["callbacks"]["mark"]["api_key"] == "***"
    resumed = records.histories()[-1]  # which tells again what the killed process may have kept from its file
    assert [row["_step"] for row in resumed] == [5, 10, 15, 20]
    for row in resumed:
        assert row["step"] == row["_step"]
        assert row["data/tokens"] > 0
    assert resumed[-1].keys() >= EXPECTED
    assert {metric.get("step_metric") for metric in records.of("metric") if "glob_name" in metric} == {"step"}
    by_step = {row["step"]: row for row in rows(runs / "told")}
    for row in resumed:
        assert row["train/loss"] == pytest.approx(float(by_step[str(row["step"])]["train/loss"]), rel=1e-5)


def test_weights_and_biases_has_tables_pictures_and_how_it_came_about(runs: Path) -> None:
    records = WandbRecords(runs / "told")
    last = records.histories()[-1][-1]
    predictions = records.table(last, "val/predictions")
    assert predictions["columns"] == ["step", "sentence", "likeliest tokens"]
    assert [row[:2] for row in predictions["data"]] == [[step, "the quick [MASK] returns"] for step in (10, 20)]
    pairs = records.table(last, "val/sentence_pairs")["data"]
    assert {row[3] for row in pairs} == {"next", "random"}
    assert all(0 <= row[5] <= 1 for row in pairs)
    assert last["val/attention.format"] == "png"
    assert min(last["val/attention.width"], last["val/attention.height"]) > 200
    files = records.files[0].parent / "files"
    assert "revision: " in (files / "provenance.txt").read_text(encoding="utf-8")
    assert "torch==" in (files / "packages.txt").read_text(encoding="utf-8")
    assert json.loads((files / "data.txt").read_text(encoding="utf-8"))["train"][0]["tokens"] > 0


def test_tensorboard_has_the_same_curves_by_steps_and_by_tokens(runs: Path) -> None:
    place = runs / "told" / "tensorboard"
    steps, tokens = tensorboard_events(place / "steps"), tensorboard_events(place / "tokens")
    assert set(steps.Tags()["scalars"]) >= EXPECTED
    found = rows(runs / "told")
    for name in ("train/loss", "val/loss"):
        by_step = [(event.step, event.value) for event in steps.Scalars(name)]
        by_tokens = [(event.step, event.value) for event in tokens.Scalars(name)]
        logged = [row for row in found if row[name]]
        assert by_step == [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-5)) for row in logged]
        assert by_tokens == [(int(row["data/tokens"]), pytest.approx(float(row[name]), rel=1e-5)) for row in logged]
    assert "the quick [MASK] returns" in tensorboard_text(steps, "val/predictions")
    assert "    revision: " in tensorboard_text(steps, "run/provenance")
    assert {image.step for image in steps.Images("val/attention")} == {10, 20}
    assert steps.Images("val/attention")[0].encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # mlflow 3.17 with SQLAlchemy 2.1
def test_mlflow_has_one_run_in_a_database_of_all_runs(runs: Path) -> None:
    from mlflow import MlflowClient

    client: Any = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cloze").experiment_id
    found = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(found) == {"told"}
    run = found["told"]
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.max_steps"] == "20"
    assert run.data.params["callbacks.mark.api_key"] == "***"
    identity = run.info.run_id
    by_step = {point.step: point.value for point in client.get_metric_history(identity, "train/loss")}
    by_tokens = {point.step: point.value for point in client.get_metric_history(identity, "by_tokens/train/loss")}
    logged = rows(runs / "told")
    assert by_step == {int(row["step"]): pytest.approx(float(row["train/loss"]), rel=1e-5) for row in logged}
    assert list(by_tokens.values()) == list(by_step.values())
    assert set(by_tokens) == {int(row["data/tokens"]) for row in logged}
    artifacts = next(runs.glob(f"mlflow/{identity}/artifacts"))
    table = json.loads((artifacts / "val/predictions.json").read_text(encoding="utf-8"))
    assert [row[0] for row in table["data"]] == [10, 20]
    assert (artifacts / "val/attention/step_00000020.png").exists()
    assert "revision: " in (artifacts / "run/provenance.txt").read_text(encoding="utf-8")


def test_a_task_has_its_classes_confusions_and_worst_errors(runs: Path) -> None:
    records = WandbRecords(runs / "stars")
    last = records.histories()[-1][-1]
    matrix = records.table(last, "val/confusion")
    assert matrix["columns"] == ["label", "bad", "good"]
    assert sum(count for _, *counts in matrix["data"] for count in counts) == 40
    classes = records.table(last, "val/classes")
    assert [row[0] for row in classes["data"]] == ["bad", "good"]
    assert sum(row[4] for row in classes["data"]) == 40
    wrong = 40 - sum(row[1 + number] for number, row in enumerate(matrix["data"]))
    if wrong:
        assert len(records.table(last, "val/worst_errors")["data"]) == min(wrong, 25)
    assert last["val/confusion_picture.format"] == "png"
    scores = json.loads((runs / "stars" / "results.json").read_text(encoding="utf-8"))["dev"]
    assert last["val/accuracy"] == pytest.approx(scores["accuracy"])
    steps = tensorboard_events(runs / "stars" / "tensorboard" / "steps")
    assert "| bad | " in tensorboard_text(steps, "val/confusion")


def test_only_rank_zero_logs(runs: Path) -> None:
    assert len(WandbRecords(runs / "two").files) == 1
    assert len(list((runs / "two" / "tensorboard" / "steps").iterdir())) == 1
    tokens = [int(row["data/tokens"]) for row in rows(runs / "two")]
    assert 900 < tokens[0] <= 1024  # of both ranks together
    assert 1800 < tokens[1] <= 2048


def test_no_file_holds_a_secret(runs: Path) -> None:
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert not [str(file) for file in files if SECRET.encode() in file.read_bytes()]
