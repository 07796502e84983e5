"""`results.json`, and the table of a sweep."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.report.results import read_results, write_results
from cloze.report.seeds import spread, summarise_sweep


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_results({"dev": {"accuracy": 2 / 3}}, tmp_path)
    assert read_results(tmp_path) == {"dev": {"accuracy": 0.666667}}


def test_a_run_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.json does not exist: the run has not finished"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json is not JSON"):
        read_results(tmp_path)


def sweep(folder: Path, runs: Sequence[tuple[Mapping[str, Any], float | None]]) -> str:
    for number, (config, score) in enumerate(runs):
        run = folder / str(number)
        run.mkdir(parents=True)
        text = yaml.safe_dump({"folder": str(run), "hardware": {"threads": number}, **config}, sort_keys=False)
        (run / "config.yaml").write_text(f"# command: python\n{text}", encoding="utf-8")
        if score is not None:
            write_results({"dev": {"accuracy": score, "f1": score / 2}}, run)
    return summarise_sweep(folder)


def test_seeds_are_one_row(tmp_path: Path) -> None:
    scores = [0.9, 0.92, 0.91]
    text = sweep(tmp_path, [({"seed": i, "data": {"seed": i}}, score) for i, score in enumerate(scores)])
    assert "| 91.00 ± 1.00 | 45.50 ± 0.50 | 3   |" in text
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == f"{text}\n"
    (row,) = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert row["config"] == {}
    assert row["runs"] == ["0", "1", "2"]
    found = row["results"]["dev"]["accuracy"]
    assert found["values"] == scores
    assert math.isclose(found["mean"], statistics.fmean(scores))
    assert math.isclose(found["sd"], statistics.stdev(scores))


def test_what_was_varied_names_the_rows_in_the_order_of_the_runs(tmp_path: Path) -> None:
    runs = [
        ({"seed": seed, "task": {"lr": lr}, "adaptation": {"layers": layers}, "optimizer": {"lr": lr, "b": [1]}}, 0.5)
        for layers, lr in (("last", 3), ("embeddings", 3), ("last", 10), ("embeddings", 10))
        for seed in (1, 2)
    ]  # fmt: skip
    text = sweep(tmp_path, runs)
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "task.lr", "adaptation.layers", "dev accuracy", "dev f1", "n"
    ]  # fmt: skip
    assert [[cell.strip() for cell in row.strip("|").split("|")][:2] for row in rows] == [
        ["3", "last"], ["3", "embeddings"], ["10", "last"], ["10", "embeddings"]
    ]  # fmt: skip


def test_a_key_that_a_finer_one_implies_is_not_shown(tmp_path: Path) -> None:
    names = {"x": "a", "y": "a", "z": "b"}
    runs = [({"model": {"shape": shape}, "task": {"name": name}}, 0.5) for name, shape in names.items()]
    text = sweep(tmp_path, runs)
    assert "task.name" in text
    assert "model.shape" not in text


def test_runs_without_results_are_named(tmp_path: Path) -> None:
    text = sweep(tmp_path, [({"seed": i}, 0.5 if i != 10 else None) for i in range(12)])
    assert "| 11  |" in text
    assert text.endswith("without results, because they did not finish: 10")


def test_types_of_entities_are_in_the_json_only_and_may_be_missing_in_a_run(tmp_path: Path) -> None:
    for number, types in enumerate([{"f1_PER": 0.5}, {"f1_PER": 0.7, "f1_LOC": 0.1}]):
        run = tmp_path / str(number)
        run.mkdir()
        (run / "config.yaml").write_text(f"seed: {number}\n", encoding="utf-8")
        write_results({"dev": {"f1": 0.6, **types}}, run)
    text = summarise_sweep(tmp_path)
    assert "dev f1 " in text
    assert "PER" not in text
    (row,) = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert row["results"]["dev"]["f1_PER"]["values"] == [0.5, 0.7]
    assert row["results"]["dev"]["f1_LOC"]["n"] == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_spread_is_that_of_the_sample(values: list[float]) -> None:
    found = spread(values)
    mean = sum(values) / len(values)
    assert math.isclose(found.mean, mean, abs_tol=1e-12)
    if len(values) == 1:
        assert found.sd is None
    else:
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        assert found.sd is not None
        assert math.isclose(found.sd, math.sqrt(variance), abs_tol=1e-9)
