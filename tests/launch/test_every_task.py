"""Every `task=` on its real data, through the command: some steps of a very small model, evaluation, prediction."""

import csv
import json
import sys
import zipfile
from pathlib import Path

import pytest

from cloze.cli.finetune import main

SMALL = [
    "model=tiny",
    "model.hidden_size=16",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=1",
    "model.intermediate_size=32",
    "trainer.max_steps=3",
    "trainer.log_every=1",
    "hardware.threads=1",
]
UNCASED, CASED, CHINESE = (
    [f"tokenizer{group}", f"tokenizer.vocab={{data}}/vocab/bert-base-{name}-vocab.txt"]
    for group, name in (("=wordpiece", "uncased"), ("=wordpiece_cased", "cased"), ("=wordpiece_chinese", "chinese"))
)
TASKS = {
    "glue/cola": (UNCASED, {"dev": "matthews"}),
    "glue/sst2": (UNCASED, {"dev": "accuracy"}),
    "glue/mrpc": (UNCASED, {"dev": "f1"}),
    "glue/stsb": (UNCASED, {"dev": "pearson"}),
    "glue/rte": (UNCASED, {"dev": "accuracy"}),
    "glue/qnli": ([*UNCASED, "task.data.train={data}/glue/QNLI/dev.tsv"], {"dev": "accuracy"}),  # train is not there
    "chnsenticorp": (CHINESE, {"dev": "accuracy", "test": "accuracy"}),
    "afqmc": (CHINESE, {"dev": "accuracy"}),
    "codah": (UNCASED, {"dev": "accuracy", "test": "accuracy"}),
    "swag": (
        [
            *UNCASED,
            "task.data.train={data}/multiple_choice/swag_sample/train.csv",
            "task.data.dev={data}/multiple_choice/swag_sample/test.csv",
            "task.data.test=null",
        ],
        {"dev": "accuracy"},
    ),
    "wnut17": (CASED, {"dev": "f1", "test": "f1"}),
    "msra": (CHINESE, {"dev": "f1"}),
    "squad": (
        [*UNCASED, "task.data.train={data}/qa/squadshifts_reddit_v1.0.json", "task.data.dev={short}"],
        {"dev": "f1"},
    ),
    "squad_v2": (
        [*UNCASED, "task.data.train={data}/qa/squad_v2_dev_half_cs224n.json", "task.data.dev={short}"],
        {"dev": "f1"},
    ),
    "cmrc2018": (
        [*CHINESE, "task.data.train={data}/qa/cmrc2018_dev.json", "task.data.dev={data}/qa/cmrc2018_dev.json"],
        {"dev": "f1"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def short_squad(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two articles of SQuAD's dev set."""
    with zipfile.ZipFile(shared_data / "qa" / "squad_dev-v1.1.json.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("dev-v1.1.json") and "MACOSX" not in name)
        squad = json.loads(archive.read(name))
    file = tmp_path_factory.mktemp("squad") / "short.json"
    file.write_text(json.dumps({**squad, "data": squad["data"][:2]}), encoding="utf-8")
    return file


LONG = ("cmrc2018",)  # of answers, as squad, and of Chinese, as chnsenticorp


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=pytest.mark.long) if task in LONG else task for task in TASKS]
)
def test_a_task_trains_is_scored_and_predicts(
    task: str, shared_data: Path, short_squad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, metrics = TASKS[task]
    words = [word.format(data=shared_data, short=short_squad) for word in words]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOZE_DATA", str(shared_data))
    monkeypatch.setattr(sys, "argv", ["finetune.py", f"task={task}", *words, *SMALL, "run=x"])
    assert main() == 0
    folder = tmp_path / "runs" / "x"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert set(results) == set(metrics)
    assert all(
        0 <= results[split][metric] <= 1 or metric in ("matthews", "pearson") for split, metric in metrics.items()
    )
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        *_, last = csv.DictReader(lines)
    assert float(last[f"val/{metrics['dev']}"]) == pytest.approx(results["dev"][metrics["dev"]], abs=1e-5)
    for split in results:
        first = (folder / "predictions" / f"{split}.jsonl").read_text(encoding="utf-8").partition("\n")[0]
        assert {"id", "prediction"} <= set(json.loads(first))
    assert (folder / "model" / "config.json").exists()
