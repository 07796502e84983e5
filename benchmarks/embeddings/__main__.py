"""Training and encoding of embeddings against sentence-transformers: one model, loss, batch and set of texts.

    pip install --target runs/bench/peers --no-deps sentence-transformers scipy scikit-learn joblib threadpoolctl \
        narwhals accelerate
    python -m benchmarks.embeddings --json FILE

Two sets of pairs: sentences with their translations (Tatoeba, lengths mixed) and titles with abstracts truncated to 128
tokens (arXiv). The model has 2 layers of MiniLM's shape with random weights: speed does not depend on them, and both
sides learn from the same start. Each side trains in a process of its own with one thread, and the sides take turns;
the medians of texts a second are compared, and what both have learned: the accuracy on 1,000 held-out pairs. Encoding
is that of 4,000 texts, against ``encode`` with its best batch size.
"""

import argparse
import json
import lzma
import os
import random
import shutil
import statistics
import subprocess
import sys
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
        max_length: tokens of a sequence.
        batch_size: pairs.
        lr: the peak.
    """

    what: str
    max_length: int
    batch_size: int
    lr: float


SETTINGS = {
    "tatoeba": Setting("Tatoeba, English and German", 64, 128, 5e-4),
    "arxiv": Setting("arXiv, titles and abstracts", 128, 64, 5e-4),
}


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


def prepared(name: str, work: Path, steps: int) -> Path:
    """A folder with the model, ``train.jsonl``, ``dev.jsonl`` and ``setting.json``, which both sides read."""
    setting, folder = SETTINGS[name], work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = pairs(name)
    parts = {"train": rows[: steps * setting.batch_size], "dev": rows[-HELD_OUT:]}
    for split, part in parts.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"anchor": a, "positive": b}) + "\n" for a, b in part)
    (folder / "setting.json").write_text(json.dumps({**setting._asdict(), "steps": steps}))
    subprocess.run([sys.executable, "-m", "benchmarks.embeddings.model", folder / "model"], cwd=REPOSITORY, check=True)
    return folder


def measured(side: str, folder: Path, threads: int) -> dict[str, Any]:
    """One training and encoding of one side, in a process of its own."""
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
    for kind, unit in (("train", "texts/s"), ("encode", "texts/s")):
        speed = {side: statistics.median(run[kind] for run in runs[side]) for side in SIDES}
        row = {
            "what": f"{'training' if kind == 'train' else 'encoding'}, {SETTINGS[name].what}",
            "ours": speed["ours"],
            "peer": speed["peer"],
            "ratio": speed["ours"] / speed["peer"],
            "unit": unit,
            "peer_name": f"sentence-transformers {runs['peer'][0]['version']}",
        }
        if kind == "train":
            last = {side: runs[side][-1] for side in SIDES}
            row |= {
                "steps": steps,
                "our accuracy": last["ours"]["accuracy"],
                "peer's accuracy": last["peer"]["accuracy"],
                "our loss": last["ours"]["loss"],
                "peer's loss": last["peer"]["loss"],
            }
        else:
            row["peer's batch"] = runs["peer"][0]["batch"]
        found.append(row)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/embeddings")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "runs/bench/embeddings.json")
    given = parser.parse_args()
    rows = []
    for name in given.sets:
        folder = prepared(name, given.work.absolute(), given.steps)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for number in range(given.rounds):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                runs[side].append(measured(side, folder, given.threads))
        rows += rows_of(name, runs, given.steps)
    print_rows(rows)
    write_rows(rows, given.json)


if __name__ == "__main__":
    main()
