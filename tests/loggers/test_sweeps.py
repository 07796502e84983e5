"""Sweeps: a grid, the agents of Weights & Biases, a search by Optuna; as docs/dashboards.md has them."""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.conftest import REPOSITORY
from tests.loggers.conftest import SWEEP, TRIED
from tests.loggers.records import WandbRecords

SWEEPS = REPOSITORY / "docs" / "sweeps"
SHORT = ["trainer.max_steps=4", "trainer.log_every=2", "trainer.validate_every=4", "data.batch_tokens=1024"]


def last_loss(folder: Path) -> float:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return float(list(csv.DictReader(lines))[-1]["val/masked_lm_loss"])


def test_each_run_of_a_grid_is_its_own_in_one_group(runs: Path) -> None:
    opened = [run for number in "01" for run in WandbRecords(runs / "grid" / number).of("run")]
    assert [(run["display_name"], run["run_group"]) for run in opened] == [("grid/0", "grid"), ("grid/1", "grid")]
    assert len({run["run_id"] for run in opened}) == 2
    assert [run["config"]["update"]["optimizer"]["lr"] for run in opened] == [1e-3, 2e-3]


def test_a_sweeper_is_told_the_loss_at_the_end(runs: Path) -> None:
    returned = [json.loads(line) for line in (runs.parent / "returned.jsonl").read_text(encoding="utf-8").splitlines()]
    assert returned == [pytest.approx(last_loss(runs / "grid" / number), rel=1e-5) for number in "01"]


def test_the_command_of_an_agent_is_a_run_of_the_sweep(runs: Path) -> None:
    assert SWEEP["program"] == "train.py"
    records = WandbRecords(runs / "rates" / "agent123")
    opened = records.of("run")[0]
    assert (opened["run_id"], opened["run_group"], opened["project"]) == ("agent123", "rates", SWEEP["project"])
    config = opened["config"]["update"]
    assert {"optimizer.lr": config["optimizer"]["lr"], "objective.mask_rate": config["objective"]["mask_rate"]} == TRIED
    assert SWEEP["metric"]["name"] in records.histories()[-1][-1]


@pytest.mark.long
def test_a_search_by_optuna_goes_on_where_it_stopped(small_corpus: list[str], tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    for file in (REPOSITORY / "train.py", SWEEPS / "search.py"):
        shutil.copy(file, tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"}
    command = [sys.executable, "search.py", "2", "lr", *small_corpus, *SHORT]
    for trials in (2, 4):
        done = processes.run(command, cwd=tmp_path, env=environment, check=True)
        study = optuna.load_study(study_name="lr", storage=f"sqlite:///{tmp_path}/runs/lr/optuna.db")
        assert len(study.trials) == trials
    losses = {trial.number: trial.value for trial in study.trials}
    assert losses == {number: pytest.approx(last_loss(tmp_path / f"runs/lr/{number}"), rel=1e-5) for number in range(4)}
    best = json.loads(done.stdout.splitlines()[-1])
    assert best["loss"] == min(losses.values())
