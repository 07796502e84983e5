"""The page of a run: its numbers are those of the files, its texts stay texts, and it stays small."""

import csv
import itertools
import json
import re
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloze.cli.report import main
from cloze.errors import InputError
from cloze.report.page.differences import differences
from cloze.report.page.evaluation import read_splits
from cloze.report.page.figures import key_figures
from cloze.report.page.folders import find_runs
from cloze.report.page.metrics import Curve, read_metrics, thin
from cloze.report.page.page import LARGEST, render
from cloze.report.page.run import read_run
from cloze.report.page.samples import read_samples
from tests.report.records import ANSWERS, CHOICES, SCORES, SEVERAL, TAGS
from tests.report.run_folders import HOSTILE, pretraining, task, write_metrics


def chart_data(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', page, re.S)
    assert match is not None
    return json.loads(match[1])  # type: ignore[no-any-return]


def curve(data: dict[str, Any], key: str, split: str, label: str = "", *, run: int = 0) -> dict[str, Any]:
    series = [one for chart in data["charts"] if chart["key"] == key for one in chart["series"]]
    return next(one for one in series if (one["run"], one["split"], one["label"]) == (run, split, label))


def text_of(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_every_number_of_the_metrics_is_on_the_page(tmp_path: Path) -> None:
    folder = pretraining(tmp_path / "runs" / "a")
    data = chart_data(render([folder]))
    with (folder / "metrics.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    places = {
        "train/masked_lm_loss": ("masked_lm_loss", "train"), "val/masked_lm_loss": ("masked_lm_loss", "val"),
        "train/masked_lm_perplexity": ("masked_lm_perplexity", "train"), "optim/lr": ("lr", ""),
        "train/next_sentence_majority": ("next_sentence_accuracy", "train", "majority class"),
        "val/next_sentence_majority": ("next_sentence_accuracy", "val", "majority class"),
        "train/next_sentence_accuracy": ("next_sentence_accuracy", "train"),
        "val/next_sentence_accuracy": ("next_sentence_accuracy", "val"), "optim/gradient_norm": ("gradient_norm", ""),
        "speed/tokens_per_second": ("tokens_per_second", ""), "speed/mfu": ("mfu", ""),
        "speed/data_wait_share": ("data_wait_share", ""),
        "optim/update_ratio/blocks": ("update_ratio", "", "blocks"), "speed/memory_gib": ("memory_gib", ""),
        "optim/update_ratio/embeddings_and_heads": ("update_ratio", "", "embeddings and heads"),
    }  # fmt: skip
    assert set(places) == set(rows[0]) - {"step", "data/tokens", "speed/seconds"}
    for column, place in places.items():
        found = curve(data, *place)
        assert found["x"] == [int(row["step"]) for row in rows if row[column]]
        assert found["y"] == [float(row[column]) for row in rows if row[column]]
    steps, tokens = data["runs"][0]["tokens"]
    assert (steps[-1], tokens[-1]) == (600, 1_200_000)
    lines_of = next(chart["lines"] for chart in data["charts"] if chart["key"] == "masked_lm_loss")
    assert lines_of == [{"label": "knowing only frequencies", "y": 6.5}]


def test_figures_samples_and_corpus_can_be_read(tmp_path: Path) -> None:
    folder = pretraining(tmp_path / "runs" / "a")
    page = text_of(render([folder]))
    last = read_metrics(folder / "metrics.csv").curves["val/masked_lm_loss"].values[-1]
    for text in (f"held out {last:.3f}", f"perplexity {np.exp(last):,.1f}", "sentence pairs right 70.0%", "1.2 M",
                 "345,678", "8,192 tokens, 7 never used", "5 and more 1,000", "mask_rate: 0.15",
                 "blanks 1.750", "characters a token 3.500", "altered by normalisation 2.5000%",
                 "12 dropped, 3 of them near held-out documents",
                 "The rules of quality drop 41 of 900 documents (1 of 2 rules drop nothing).",
                 "min_words , threshold 50: 41 documents", "3 Home <b> About a.txt, byte 9"):  # fmt: skip
        assert text in page, text
    sentence = read_samples(folder / "samples.txt", most=3)[0]
    assert [step for step, _ in sentence.rows] == [100, 300, 600]
    assert sentence.left_out == 3
    assert [(one.token, one.probability) for one in sentence.rows[-1][1]] == [
        ("</td>", 0.5), (",", 0.1), ("<b>", 0.05)
    ]  # fmt: skip


def test_texts_stay_texts(tmp_path: Path) -> None:
    record = {"id": HOSTILE, "text": HOSTILE, "prediction": "pos", "probability": 0.9, "label": HOSTILE,
              "correct": False}  # fmt: skip
    hostile = task(tmp_path / "runs" / "<i>", [record], ["pos", HOSTILE])
    write_metrics(hostile / "metrics.csv", [{"step": 1, f"val/{HOSTILE}": 1.0}, {"step": 2, f"val/{HOSTILE}": 2.0}])
    runs = [hostile, pretraining(tmp_path / "runs" / "b", notes=HOSTILE)]
    clean = [task(tmp_path / "clean" / "a"), pretraining(tmp_path / "clean" / "b")]
    for given, like in ((runs, clean), (runs[1:], clean[1:]), (runs[:1], clean[:1])):
        page, expected = render(given), render(like)
        for tag in ("<script", "</script", "<img", "<i>"):
            assert page.count(tag) == expected.count(tag), tag
    assert HOSTILE.replace("\u2028", " ") in text_of(render(runs))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert unescape(policy[1]).startswith("default-src 'none'")
    assert "unsafe" not in policy[1]


def test_a_page_of_long_and_many_runs_stays_small(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.mkdir()
    rng = np.random.default_rng(1)
    values = rng.random((20_000, 30))
    values[7_777, 3] = 1000.0  # a spike
    rows = [{"step": n, **{f"train/m{i}": v for i, v in enumerate(row)}} for n, row in enumerate(values.tolist(), 1)]
    write_metrics(long / "metrics.csv", rows)
    many = [pretraining(tmp_path / "many" / str(n), rows=400, seed=n) for n in range(40)]
    one, forty = render([long]), render(many)
    assert max(len(one.encode()), len(forty.encode())) < LARGEST
    spiky = curve(chart_data(one), "m3", "train")
    assert len(spiky["x"]) <= 1000
    assert dict(zip(spiky["x"], spiky["y"], strict=True))[7_778] == 1000.0
    records = [{"id": str(n), "text": f"{n} " * 150, "prediction": "pos", "probability": 0.9, "label": "neg",
                "correct": False} for n in range(2000)]  # fmt: skip
    assert len(render([task(tmp_path / "wrong", records)]).encode()) < LARGEST


def test_thinned_curves_keep_ends_and_extremes() -> None:
    values = np.sin(np.arange(5000) / 7)
    values[1234], values[4321] = 9.0, -9.0
    few = thin(Curve(np.arange(5000), values), 100)
    assert len(few.steps) <= 100
    assert (few.steps[0], few.steps[-1]) == (0, 4999)
    assert (few.values.max(), few.values.min()) == (9.0, -9.0)
    assert (values[few.steps] == few.values).all()


def test_scores_confusion_classes_and_errors_of_a_task(tmp_path: Path) -> None:
    folder = task(tmp_path / "runs" / "sst2")
    page = text_of(render([folder]))
    for text in ("dev accuracy 0.7500", "test accuracy 0.6875", "dev: 4 examples, 2 of them wrong",
                 "neg pos neg 1 1 pos 1 1", "neg 0.500 0.500 0.500 2", "The 2 worst errors", "0.8 pos"):  # fmt: skip
        assert text in page, text
    split = read_splits(read_run(folder, "sst2"), most=10)[0]
    assert [error["id"] for error in split.errors] == ["3", "2"]  # the surest first


@pytest.mark.parametrize("records", [SCORES, TAGS, SEVERAL, CHOICES, ANSWERS])
def test_every_shape_of_task_has_a_page(records: list[dict[str, Any]], tmp_path: Path) -> None:
    labels = sorted({tag for record in records if "words" in record for tag in record["label"] + record["prediction"]})
    folder = task(tmp_path / "run", records, labels or ["a", "b"])
    assert read_splits(read_run(folder, "run"), most=5)[0].known == len(records)
    assert "worst errors" in render([folder])


def test_a_comparison_with_random_weights_is_on_the_page_of_the_run(tmp_path: Path) -> None:
    folder = task(tmp_path / "run")
    task(folder / "random_initialisation")
    page = render([folder])
    assert [run["name"] for run in chart_data(page)["runs"]] == ["run", "random weights"]


def test_where_configurations_differ(tmp_path: Path) -> None:
    a = pretraining(tmp_path / "a", seed=1, optimizer={"lr": 0.001}, objective={"mask_rate": 0.15})
    b = pretraining(tmp_path / "b", seed=2, optimizer={"lr": 0.002}, objective={"mask_rate": 0.15, "span": True})
    found = differences([read_run(a, "a"), read_run(b, "b")])
    assert [(entry.key, *entry.values) for entry in found] == [
        ("optimizer.lr", "0.001", "0.002"), ("objective.span", "-", "true")
    ]  # fmt: skip
    page = text_of(render([a, b]))
    assert "optimizer.lr 0.001 0.002" in page
    assert "a step 600 </td> 0.50 , 0.10" in page
    assert "b step 600 </td> 0.50 , 0.10" in page


def test_unfinished_runs_and_those_without_evaluation(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.yaml").write_text("objective: {}\n", "utf-8")
    assert "Nothing has been logged yet" in render([begun])
    going_on = pretraining(tmp_path / "going-on", rows=5, finished=False)
    with (going_on / "metrics.csv").open("a", encoding="utf-8") as stream:
        stream.write("60,90")  # a row that is being written
    assert read_metrics(going_on / "metrics.csv").last_step == 50
    page = text_of(render([going_on]))
    assert "not finished" in page
    assert "no evaluation yet" in page


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("step,train/loss\n1,2.5\n2,nan\n3,inf\n2,1.5\n", "utf-8")
    loss = curve(chart_data(render([folder])), "loss", "train")
    assert loss == {"run": 0, "split": "train", "label": "", "x": [1, 2], "y": [2.5, 1.5], "lost": 1}


def test_the_runs_of_a_sweep_are_found_in_their_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10):
        pretraining(tmp_path / "sweep" / str(number), rows=1)
    task(tmp_path / "table" / "sst2" / "1")
    assert [run.name for run in find_runs([tmp_path / "sweep"])] == ["0", "1", "2", "10"]
    assert find_runs([tmp_path / "table"]) == [tmp_path / "table" / "sst2" / "1"]
    assert len(find_runs([tmp_path / "sweep", tmp_path / "sweep" / "1"])) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,a\n1,2\n2\n", "metrics.csv, line 3: 1 value where the first line names 2 columns"),
        ("step,a\n1,two\n", "metrics.csv, line 2: 'a' is 'two' where a number is expected"),
        ("step,a\n1.5,2\n", "metrics.csv, line 2: 'step' has to be a whole number"),
        ("a,b\n1,2\n", "metrics.csv, line 1: expected the names of the columns"),
    ],
)
def test_a_broken_metrics_file_is_told_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        render([tmp_path])


@pytest.mark.parametrize(
    ("file", "text"),
    [("config.yaml", "a: [\n"), ("config.yaml", "- 1\n"), ("results.json", "{"), ("results.json", '{"dev": 1}'),
     ("predictions/dev.jsonl", "{\n"), ("predictions/dev.jsonl", "1\n"), ("predictions/dev.jsonl", '{"label": "a"}\n'),
     ("predictions/dev_confusion.csv", "label,a\nb,x\n")],
)  # fmt: skip
def test_a_broken_file_of_a_run_is_told(file: str, text: str, tmp_path: Path) -> None:
    folder = task(tmp_path / "run")
    (folder / file).write_text(text, "utf-8")
    with pytest.raises(InputError, match=re.escape(str(folder / file))):
        render([folder])


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["cloze-report", *words])
    return main()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    pretraining(Path("runs/a"))
    task(Path("runs/b=c"))
    assert command(monkeypatch, "runs/a") == 0
    assert Path("runs/a/report.html").stat().st_size < 200_000
    assert command(monkeypatch, "runs/a", "runs/b=c") == 0
    assert "These runs are of different kinds" in Path("runs/comparison.html").read_text("utf-8")
    assert command(monkeypatch, "runs", "output=new/both.html") == 0
    assert Path("new/both.html").exists()
    assert "2 runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give the folders of one or more runs"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["empty"], "empty is no run: it has neither config.yaml nor metrics.csv"),
        (["run", "output=empty"], "output=empty is a folder"),
        (["run", "output=run/metrics.csv/x"], "cannot be written"),
        (["run", "outptu=x"], "outptu"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    pretraining(Path("run"), rows=1)
    before = sorted(Path("run").rglob("*"))
    assert command(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(Path("run").rglob("*")) == before


def test_key_figures_of_a_task_before_its_end(tmp_path: Path) -> None:
    folder = task(tmp_path / "run")
    (folder / "results.json").unlink()
    figure = key_figures(read_run(folder, "run"))[0]
    assert figure == ("dev accuracy", "0.7500", "step 100; best 0.7500")


def test_the_library_is_the_version_that_its_note_names() -> None:
    assets = files("cloze.report.page") / "assets"
    version = re.search(r"uPlot \(v([\d.]+)\)|\(v([\d.]+)\)", (assets / "uPlot.iife.min.js").read_text("utf-8")[:200])
    assert version is not None
    assert f"npm pack uplot@{version[1] or version[2]}" in (assets / "README.md").read_text("utf-8")
    assert "MIT" in (assets / "uPlot.LICENSE").read_text("utf-8")


def test_the_colours_can_be_told_apart_and_seen() -> None:
    css = (files("cloze.report.page") / "assets" / "page.css").read_text("utf-8")
    for theme in css.split("prefers-color-scheme: dark"):
        colours = {name: linear(value) for name, value in re.findall(r"--(c\d|card): (#\w{6})", theme)}
        card = colours.pop("card")
        assert len(colours) == 8
        for name, colour in colours.items():
            light, dark = sorted([luminance(colour), luminance(card)], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, name  # WCAG 2.1, 1.4.11
        for sight, matrix in SIGHTS.items():
            seen = {name: lab(np.clip(matrix @ colour, 0, 1)) for name, colour in colours.items()}
            for a, b in itertools.combinations(seen, 2):
                assert np.linalg.norm(seen[a] - seen[b]) > 10, (sight, a, b)


SIGHTS = {  # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}  # fmt: skip


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: np.ndarray) -> float:
    return float(colour @ [0.2126, 0.7152, 0.0722])


def lab(colour: np.ndarray) -> np.ndarray:
    """CIELAB under D65; a distance of 2.3 is just noticeable."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(matrix @ colour / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
