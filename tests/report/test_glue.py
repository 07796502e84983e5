"""The GLUE table against published means; the submission's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloze.errors import InputError
from cloze.report.glue import BY_NAME, TASKS, as_json, official_mean, own_row, paper_mean, read_scores, render_table
from cloze.report.glue_picture import glue_picture
from cloze.report.peers import PEERS
from cloze.report.results import write_results
from cloze.report.seeds import Spread
from cloze.report.submission import TEST_SETS, write_submission

ALL = [task.name for task in TASKS]


def test_the_means_are_the_published_ones() -> None:
    """BERT-Base: 79.6 by its paper. The miniatures' scores hold WNLI, which has one ninth of them."""
    rows = {row.name: row.scores for row in PEERS}
    base = paper_mean(rows["BERT-Base"], ALL)
    assert base is not None
    assert round(100 * base, 1) == 79.6
    for name, score in {"BERT-Tiny": 64.2, "BERT-Mini": 65.8, "BERT-Small": 71.2, "BERT-Medium": 73.5}.items():
        mean, wnli = official_mean(rows[name], ALL), rows[name]["wnli"][0]
        assert mean is not None
        assert wnli is not None
        assert 100 * (8 * mean + wnli.mean) / 9 == pytest.approx(score, abs=0.1)  # of rounded parts


def test_a_mean_needs_every_score() -> None:
    rows = {row.name: row.scores for row in PEERS}
    assert official_mean(rows["BERT-Base"], ALL) is None  # MRPC, STS-B and QQP have one score of two
    assert official_mean(rows["crammed BERT"], ["sst2", "rte"]) == pytest.approx((0.92 + 0.585) / 2)
    assert official_mean(rows["crammed BERT"], ["sst2", "mrpc"]) is None
    assert paper_mean(rows["crammed BERT"], ["mnli", "rte"]) == pytest.approx((0.841 + 0.846 + 0.585) / 3)
    assert official_mean({"wnli": [Spread(0.5, None, 1)]}, ["wnli"]) is None


def finished(folder: Path, task: str, seed: int, *values: float) -> None:
    run = folder / task / str(seed)
    run.mkdir(parents=True)
    results: dict[str, dict[str, float]] = {}
    for (split, metric), value in zip(BY_NAME[task].scores, values, strict=True):
        results.setdefault(split, {})[metric] = value
    write_results(results, run)


def predicted(folder: Path, task: str, seed: int, split: str, predictions: list[Any]) -> None:
    file = folder / task / str(seed) / "predictions" / f"{split}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": str(i), "prediction": prediction}) for i, prediction in enumerate(predictions)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_page_says_what_its_means_are_over(tmp_path: Path) -> None:
    for seed, (rte, f1, accuracy) in enumerate([(0.60, 0.8, 0.7), (0.64, 0.9, 0.8)]):
        finished(tmp_path, "rte", seed, rte)
        finished(tmp_path, "mrpc", seed, f1, accuracy)
    scores = read_scores(tmp_path)
    row = own_row("mine", scores)
    page = render_table(row, PEERS)
    lines = page.splitlines()
    head, _, own, tiny = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6])
    assert head == ["model", "set", "MRPC F1/accuracy", "RTE accuracy", "mean", "mean as in BERT's paper"]
    assert own == ["mine", "dev", "85.0 ± 7.1 / 75.0 ± 7.1", "62.0 ± 2.8", "71.0", "73.5"]
    assert tiny == ["BERT-Tiny", "test", "81.1 / 71.1", "57.2", "66.6", "69.2"]
    assert "sample standard deviation over 2 seeds" in page
    assert "NOT GLUE's score, only over MRPC, RTE; CoLA, SST-2, STS-B, QQP, MNLI, QNLI are missing" in page
    for peer in PEERS:
        assert peer.source in page
    content = json.loads(as_json(row, scores))
    assert content["tasks"]["mrpc"]["seeds"] == {"0": [0.8, 0.7], "1": [0.9, 0.8]}
    assert content["mean"] == pytest.approx(0.71)
    assert glue_picture(row, PEERS).startswith(b"\x89PNG")


def test_all_eight_tasks_are_glues_mean(tmp_path: Path) -> None:
    for task in TASKS:
        if task.name != "wnli":
            finished(tmp_path, task.name, 1, *[0.5] * len(task.scores))
    page = render_table(own_row("mine", read_scores(tmp_path)), PEERS)
    assert "Mean: GLUE's, over its eight tasks without WNLI" in page
    assert "mine: one seed." in page


def test_the_submission_takes_the_best_seed_of_each_task(tmp_path: Path) -> None:
    finished(tmp_path, "rte", 1, 0.6)
    finished(tmp_path, "rte", 2, 0.7)
    predicted(tmp_path, "rte", 1, "test", ["entailment"] * 2)
    predicted(tmp_path, "rte", 2, "test", ["not_entailment", "entailment"])
    finished(tmp_path, "stsb", 1, 0.8, 0.7)
    predicted(tmp_path, "stsb", 1, "test", [5.2, -0.1, 2.34567])
    finished(tmp_path, "mnli", 3, 0.8, 0.7)
    predicted(tmp_path, "mnli", 3, "test_mismatched", ["neutral"])
    predicted(tmp_path, "ax", 3, "test", ["contradiction"])

    missing = write_submission(tmp_path, read_scores(tmp_path))
    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "submission").iterdir()}
    assert files == {
        "RTE.tsv": "index\tprediction\n0\tnot_entailment\n1\tentailment\n",
        "STS-B.tsv": "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.346\n",
        "MNLI-mm.tsv": "index\tprediction\n0\tneutral\n",
        "AX.tsv": "index\tprediction\n0\tcontradiction\n",
    }
    assert set(missing) == {test.file for test in TEST_SETS} - set(files)


def test_labels_that_the_server_does_not_know_are_refused(tmp_path: Path) -> None:
    finished(tmp_path, "rte", 1, 0.6)
    predicted(tmp_path, "rte", 1, "test", ["1"])
    with pytest.raises(InputError, match=r"the prediction '1' of row 0 is none of entailment, not_entailment"):
        write_submission(tmp_path, read_scores(tmp_path))
