"""Folders of runs as training leaves them."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cloze.report.results import write_results
from cloze.report.split import write_report
from tests.report.records import TEXTS

HOSTILE = "</script><script>window.ran=1</script><img src=x onerror=window.ran=1>\u2028{{7*7}}"


COMMAND = "python train.py 'run=<b>'"


def pretraining(
    folder: Path, *, rows: int = 60, seed: float = 0.0, finished: bool = True, command: str = COMMAND, **config: Any
) -> Path:
    """A run of pre-training with an evaluation every tenth row, samples and a prepared corpus."""
    folder.mkdir(parents=True)
    head = f"# command: {command}\n# revision: abc\n# versions: Python 3.11\n"
    content = {
        "run": folder.name, "folder": str(folder), "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001},
        "corpus": {"name": "pydocs"}, "objective": {"mask_rate": 0.15}, "data": {"folder": str(folder / "corpus")},
        **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(head + yaml.safe_dump(content, sort_keys=False), "utf-8")
    write_metrics(folder / "metrics.csv", [_row(10 * n, rows, seed) for n in range(1, rows + 1)])
    samples = [
        f"step {step}\n  The [MASK] {HOSTILE} sat.  </td> {0.2 + step / 2000:.2f}, , 0.10, <b> 0.05\n\n"
        for step in range(100, 10 * rows + 1, 100)
    ]
    (folder / "samples.txt").write_text("".join(samples), "utf-8")
    _corpus(folder / "corpus")
    if finished:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}", "utf-8")
    return folder


def task(folder: Path, records: Sequence[dict[str, Any]] = TEXTS, labels: Sequence[str] = ("neg", "pos")) -> Path:
    """A run of fine-tuning with results and predictions."""
    folder.mkdir(parents=True)
    content = {
        "run": folder.name,
        "folder": str(folder),
        "task": {
            "name": "glue/sst2",
            "module": {"_target_": "cloze.tasks.classification.Classification"},
            "data": {"train": "/secret/place/train.tsv", "homepage": "https://gluebenchmark.com/tasks"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content), "utf-8")
    rows = [{"step": step, "train/loss": 1 / step, "val/accuracy": 0.5 + step / 400} for step in range(10, 101, 10)]
    write_metrics(folder / "metrics.csv", rows)
    write_results({"dev": {"accuracy": 0.75, "f1_pos": 0.5}, "test": {"accuracy": 0.6875}}, folder)
    write_report(records, folder / "predictions", "dev", labels=labels, metrics={"accuracy": 0.75})
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"id2label": {"0": "neg", "1": "pos"}}', "utf-8")
    return folder


def write_metrics(file: Path, rows: Sequence[dict[str, float]]) -> None:
    """As the logger does: a column for every metric, empty cells where a row has none."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


def _row(step: int, rows: int, seed: float) -> dict[str, float]:
    loss = 4 + 4 * math.exp(-step / 200) + 0.1 * math.sin(step + seed)
    row = {
        "step": step, "speed/tokens_per_second": 9000 + step, "speed/mfu": 0.5, "speed/data_wait_share": 0.01,
        "train/masked_lm_loss": loss, "train/masked_lm_perplexity": math.exp(loss),
        "train/next_sentence_accuracy": 0.6, "train/next_sentence_majority": 0.5,
        "optim/lr": 0.001 * (1 - step / (10 * rows)), "optim/gradient_norm": 1 + math.sin(step) ** 2,
        "data/tokens": 2000 * step, "speed/seconds": 6.5 * step,
        "optim/update_ratio/blocks": 1e-3, "optim/update_ratio/embeddings_and_heads": 2e-3, "speed/memory_gib": 1.5,
    }  # fmt: skip
    if step % 100 == 0:
        row |= {"val/masked_lm_loss": loss - 0.1, "val/next_sentence_accuracy": 0.7, "val/next_sentence_majority": 0.53}
    return row


def _corpus(folder: Path) -> None:
    folder.mkdir()
    counts = {"shards": 1, "documents": 1234, "sentences": 23456, "tokens": 345678}
    report = {
        "train": counts, "heldout": dict.fromkeys(counts, 1), "tokens_per_word": 1.25, "unknown_rate": 0.001,
        "fertility": 1.75, "characters_per_token": 3.5,
        "characters": {"all": 1000, "unknown": 0, "overlong": 0, "altered": 25},
        "unused_pieces": 7, "vocab_size": 8192, "unigram_entropy": 6.5, "text_megabytes": 1.5,
        "duplicates": {"removed": True, "documents": 3, "of_documents": 9, "lines": 4, "of_lines": 90},
        "near_duplicates": {"threshold": 0.8, "documents": 12, "of_heldout": 3},
        "quality": {
            "documents": 900, "dropped": 41, "without_lines": 0, "heldout": {"documents": 0, "dropped": 0},
            "rules": [
                {"rule": "min_words", "limit": 50, "drops": "documents", "dropped": 41, "examples": [
                    {"number": 1, "origin": "a.txt, byte 9", "value": 3, "text": "Home <b> About"},
                ]},
                {"rule": "max_words", "limit": 100, "drops": "documents", "dropped": 0, "examples": []},
            ],
        },
        "sentence_lengths": [{"from": 1, "to": 4, "sentences": 40}, {"from": 5, "to": None, "sentences": 1000}],
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
