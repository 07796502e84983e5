"""Training and encoding of embeddings against sentence-transformers: one model, loss, batch and set of texts.

    pip install --target runs/bench/peers --no-deps sentence-transformers scipy scikit-learn joblib threadpoolctl \
        narwhals accelerate
    python -m benchmarks.embeddings --json FILE

Three sets: sentences with their translations (Tatoeba, lengths mixed), titles with abstracts truncated to 128 tokens
(arXiv), and pairs of German sentences with scores (STS-B, CoSENT). The model has 2 layers of MiniLM's shape with random
weights: speed does not depend on them, and both sides learn from the same start. Each side trains in a process of its
own with one thread, and the sides take turns; each round has a seed of its own. The medians of texts a second are
compared, and what both have learned, means and standard deviations over the rounds: the accuracy on 1,000 held-out
pairs, or Spearman's correlation on the dev set. Encoding is that of 4,000 texts, against ``encode`` with its best batch
size.
"""

import argparse
import csv
import json
import lzma
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import print_rows, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CLOZE_DATA", REPOSITORY / "../shared/data")).resolve()
PEERS = REPOSITORY / "runs/bench/peers"
SIDES = ("ours", "peer")
HELD_OUT = 1000


class Setting(NamedTuple):
    """Of both sides.

    Attributes:
        what: in the table.
        loss: InfoNCE, or CoSENT of scored pairs.
        max_length: tokens of a sequence.
        batch_size: pairs.
        lr: the peak.
    """

    what: str
    loss: str
    max_length: int
    batch_size: int
    lr: float


SETTINGS = {
    "tatoeba": Setting("Tatoeba, English and German", "InfoNCE", 64, 128, 5e-4),
    "arxiv": Setting("arXiv, titles and abstracts", "InfoNCE", 128, 64, 5e-4),
    "stsb": Setting("STS-B, German", "CoSENT", 64, 64, 2e-4),
}


def parts(name: str, count: int) -> dict[str, list[dict[str, Any]]]:
    """This many rows for training, and those that are held out."""
    if name == "stsb":
        return {split: scored(DATA / f"sts/stsb_de/{split}.tsv") for split in ("train", "dev")}
    rows = [{"anchor": a, "positive": b} for a, b in pairs(name)]
    return {"train": rows[:count], "dev": rows[-HELD_OUT:]}


def scored(file: Path) -> list[dict[str, Any]]:
    """Pairs with scores from 0 to 1."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            {"anchor": row["sentence1"], "positive": row["sentence2"], "score": float(row["score"]) / 5} for row in rows
        ]


def pairs(name: str) -> list[tuple[str, str]]:
    """All of a set, in an order of its own."""
    if name == "arxiv":
        with lzma.open(DATA / "pairs/arxiv_title_abstract/train.jsonl.xz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        found = [(row["query"], row["positive"]) for row in rows]
    else:
        with lzma.open(DATA / "pairs/tatoeba_en_de/train.tsv.xz", "rt", encoding="utf-8") as lines:
            found = [tuple(line.rstrip("\n").split("\t")[:2]) for line in lines]  # type: ignore[misc]
    random.Random(0).shuffle(found)
    return found


def write_lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON lines."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def prepared(name: str, work: Path, steps: int) -> Path:
    """A folder with the model, ``train.jsonl``, ``dev.jsonl`` and ``setting.json``, which both sides read."""
    setting, folder = SETTINGS[name], work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for split, part in parts(name, steps * setting.batch_size).items():
        write_lines(folder / f"{split}.jsonl", part)
    subprocess.run([sys.executable, "-m", "benchmarks.embeddings.model", folder / "model"], cwd=REPOSITORY, check=True)
    return folder


def measured(side: str, folder: Path, threads: int, setting: dict[str, Any]) -> dict[str, Any]:
    """One training and encoding of one side, in a process of its own."""
    (folder / "setting.json").write_text(json.dumps(setting))
    paths = [str(REPOSITORY), str(REPOSITORY / "src"), *([str(PEERS)] if side == "peer" else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-m", f"benchmarks.embeddings.{side}", str(folder)]
    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(words)}\n{done.stdout}{done.stderr}")
    return json.loads((folder / f"{side}.json").read_text())  # type: ignore[no-any-return]


def rows_of(name: str, runs: dict[str, list[dict[str, Any]]], steps: int) -> list[dict[str, Any]]:
    """The lines of the table for one set: training, and encoding."""
    found = []
    for kind in ("train", "encode") if "encode" in runs["ours"][0] else ("train",):
        speed = {side: statistics.median(run[kind] for run in runs[side]) for side in SIDES}
        row = {
            "what": f"{'training' if kind == 'train' else 'encoding'}, {SETTINGS[name].what}",
            "ours": speed["ours"],
            "peer": speed["peer"],
            "ratio": speed["ours"] / speed["peer"],
            "unit": "texts/s",
            "peer_name": f"sentence-transformers {runs['peer'][0]['version']}",
        }
        if kind == "train":
            row |= {
                "steps": steps,
                "seeds": len(runs["ours"]),
                **{
                    f"{whose} {what}": spread([run[what] for run in runs[side]])
                    for what in ("score", "loss")
                    for whose, side in zip(("our", "peer's"), SIDES, strict=True)
                },
            }
        else:
            row["peer's batch"] = runs["peer"][0]["batch"]
        found.append(row)
    return found


def spread(values: list[float]) -> str:
    """The mean, and of several values the standard deviation."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-encoding", dest="encoding", action="store_false", help="training alone")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/embeddings")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "runs/bench/embeddings.json")
    given = parser.parse_args()
    rows = []
    for name in given.sets:
        folder = prepared(name, given.work.absolute(), given.steps)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for number in range(given.rounds):
            setting = {
                **SETTINGS[name]._asdict(), "steps": given.steps, "seed": number + 1, "encoding": given.encoding
            }  # fmt: skip
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                runs[side].append(measured(side, folder, given.threads, setting))
        rows += rows_of(name, runs, given.steps)
    print_rows(rows)
    write_rows(rows, given.json)


if __name__ == "__main__":
    main()
