"""BERT and ModernBERT at equal parameters and equal processor time: what was learned of the books, and four tasks.

    OMP_NUM_THREADS=1 python -m benchmarks.bert_to_modern --json FILE    # half an hour each on one core, after tuning
    python -m benchmarks.bert_to_modern --minutes 0.5 --megabytes 2 --seeds 1 --work FOLDER --json FILE     # a trial

BERT-Mini by ``experiment=budget``, the best recipe that a search of its own has found for it, and a ModernBERT of as
many parameters by ``experiment=bert_to_modern``. Both are tuned alike: each learning rate, then the other mask rate
with the best of them, in a tenth of the time; the loss on unread books decides. Then each trains for the whole time, in
as many steps as a pilot takes for it, on one thread; processor time is counted, so that company on the machine takes
nothing from either. ``transformers`` judges both, as in `benchmarks.budget`. Last, both are fine-tuned alike on four
tasks. Finished runs are lines in FILE's neighbour ``FILE.runs.jsonl`` and are not made again; with ``--sides`` two
commands can share the work.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.budget.__main__ import DATA, REPOSITORY, Bench
from benchmarks.budget.recipes import Overrides
from benchmarks.budget.search import Run
from benchmarks.finetune.settings import SETTINGS, data_files

EXPERIMENTS = {"bert": "budget", "modern": "bert_to_modern"}
LEARNING_RATES = ("2e-3", "4e-3", "8e-3")
MASK_RATES = ("0.2", "0.3")
"""The first is that of both recipes."""
SHORT = 0.1
"""The share of the time in which a learning rate is tried."""
PILOT = 100
"""Steps, whose time says how many fit."""
TASKS = ("mrpc", "stsb", "sst2", "wnut17")
EPOCHS, LEARNING_RATE = 3, 3e-4
"""Of fine-tuning; the rate is Turc et al.'s (2019) largest for models of this size."""


def pretrained(side: str, given: argparse.Namespace) -> tuple[Run, Path]:
    """The tuned recipe's run with the whole time, and its model."""
    whole = Bench(given)
    short = whole.lasting(given.minutes * SHORT)
    base: Overrides = {"experiment": EXPERIMENTS[side]}
    pilot = whole.ours(f"{side}, pace", base, PILOT, judged=False)
    steps = whole.seconds / pilot["thirds"][-1]["seconds"] * PILOT

    def tried(lr: str, mask_rate: str) -> Run:
        recipe = {**base, "optimizer.lr": lr, "objective.mask_rate": mask_rate}
        return short.ours(f"{side}, {lr}, {mask_rate}", recipe, round(steps * SHORT))

    best = min((tried(lr, MASK_RATES[0]) for lr in LEARNING_RATES), key=loss)
    best = min(best, tried(best["overrides"]["optimizer.lr"], MASK_RATES[1]), key=loss)
    recipe = {key: value for key, value in best["overrides"].items() if key != "steps"}
    return whole.ours(f"{side}, whole", recipe, round(steps)), whole.folder(recipe, round(steps)) / "thirds/3"


def loss(run: Run) -> float:
    """On unread books, at the end."""
    return float(run["books"][-1])


def score(task: str, model: Path, seed: int, folder: Path) -> float:
    """Of one fine-tuning, in hundredths."""
    train, dev = data_files(task, DATA, folder)
    run = Path(tempfile.mkdtemp(dir=folder))
    words = ["finetune.py", f"task={SETTINGS[task].task}", f"model={model}", f"seed={seed}", f"folder={run}"]
    words += [f"task.epochs={EPOCHS}", f"task.lr={LEARNING_RATE}", f"task.data.train={train}", f"task.data.dev={dev}"]
    words += ["task.data.test=null", "trainer.validate_every=1000000", "hardware.threads=1"]
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {command}\n{done.stdout}{done.stderr}")
    scores = json.loads((run / "results.json").read_text(encoding="utf-8"))["dev"]
    return 100 * float(scores[SETTINGS[task].metric])


def tasks(side: str, model: Path, given: argparse.Namespace) -> dict[str, list[float]]:
    """The scores of each task, one a seed, kept next to the model."""
    kept = model / f"scores-{given.seeds}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            found = {t: [score(t, model, seed, Path(folder)) for seed in range(1, given.seeds + 1)] for t in TASKS}
        kept.write_text(json.dumps(found), encoding="utf-8")
        print(side, found, flush=True)
    scores: dict[str, list[float]] = json.loads(kept.read_text(encoding="utf-8"))
    return scores


def rows(runs: dict[str, Run], scores: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """The table: ours is ModernBERT, the peer is BERT."""
    modern, bert = runs["modern"], runs["bert"]
    circumstances = {part: modern[part] for part in ("machine", "versions", "date")}
    recipe = {side: ", ".join(f"{k.split('.')[-1]} {v}" for k, v in r["overrides"].items()) for side, r in runs.items()}
    found = []
    for key, name in (("books", "unread books"), ("losses", "WikiText-2")):
        for third, (ours, peer) in enumerate(zip(modern[key], bert[key], strict=True)):
            found.append(
                {
                    "what": f"{name}, {modern['minutes'] * (third + 1) / 3:.3g} minutes",
                    "ours": ours,
                    "peer": peer,
                    "ratio": math.exp(peer - ours),
                    "unit": "nats a masked token (ratio: of perplexities)",
                    "peer_name": f"BERT, {recipe['bert']}",
                    "ours is": f"ModernBERT, {recipe['modern']}",
                    **{
                        f"{fact} of {side}": round(run["thirds"][third][fact])
                        for fact in ("tokens", "seconds")
                        for side, run in runs.items()
                    },
                    **circumstances,
                }
            )
    for task in TASKS:
        ours, peer = (statistics.fmean(scores[side][task]) for side in ("modern", "bert"))
        found.append(
            {
                "what": f"fine-tuning, {task}",
                "ours": ours,
                "peer": peer,
                "ratio": ours / peer,
                "unit": f"{SETTINGS[task].metric}, mean of seeds",
                "peer_name": "BERT",
                "ours is": "ModernBERT",
                **{f"seeds of {side}": " ".join(f"{value:.1f}" for value in scores[side][task]) for side in runs},
                **circumstances,
            }
        )
    return found


def main() -> None:
    """Run what is missing, print the rows, and write them once both sides are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="of processor time, of each of the two")
    parser.add_argument("--megabytes", type=float, default=60, help="of the books")
    parser.add_argument("--sides", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seeds", type=int, default=3, help="of each task")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/budget", help="text, shards and runs")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/bert_to_modern.json")
    parser.set_defaults(processor_time=True, threads=1)
    given = parser.parse_args()
    runs, scores = {}, {}
    for side in given.sides:
        runs[side], model = pretrained(side, given)
        scores[side] = tasks(side, model, given)
    if set(runs) == set(EXPERIMENTS):
        found = rows(runs, scores)
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for row in found:
            print(json.dumps({k: v for k, v in row.items() if k not in ("machine", "versions", "date")}))


if __name__ == "__main__":
    main()
