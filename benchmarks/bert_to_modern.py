"""BERT and ModernBERT at equal parameters and equal processor time: what was learned of the books, and four tasks.

    OMP_NUM_THREADS=1 python -m benchmarks.bert_to_modern --json FILE    # half an hour each on one core, after tuning
    python -m benchmarks.bert_to_modern --minutes 0.5 --megabytes 2 --seeds 1 --work FOLDER --json FILE     # a trial

BERT-Mini by ``experiment=budget``, the best recipe that a search of its own has found for it, and a ModernBERT of as
many parameters by ``experiment=bert_to_modern``. Both are tuned alike: each learning rate, then the other mask rate
with the best of them, in a tenth of the time; the loss on unread books decides. Then each trains for the whole time, in
as many steps as a pilot takes for it, on one thread; processor time is counted, so that company on the machine takes
nothing from either. ``transformers`` judges both, as in `benchmarks.speedrun`. Last, both are fine-tuned alike on four
tasks. Finished runs are lines in FILE's neighbour ``FILE.runs.jsonl`` and are not made again; with ``--sides`` two
commands can share the work.
"""

import argparse
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.finetune.settings import SETTINGS
from benchmarks.speedrun.bench import REPOSITORY, Bench, Run
from benchmarks.speedrun.fine_tuning import scores
from benchmarks.speedrun.tracks import FineTuning, Overrides

EXPERIMENTS = {"bert": "budget", "modern": "bert_to_modern"}
LEARNING_RATES = ("2e-3", "4e-3", "8e-3")
MASK_RATES = ("0.2", "0.3")
"""The first is that of both recipes."""
SHORT = 0.1
"""The share of the time in which a learning rate is tried."""
TASKS = ("mrpc", "stsb", "sst2", "wnut17")
FINE_TUNING = FineTuning(epochs=3, lr=3e-4)
"""The rate is Turc et al.'s (2019) largest for models of this size."""


def pretrained(side: str, given: argparse.Namespace) -> tuple[Run, Path]:
    """The tuned recipe's run with the whole time, and its model."""
    whole = Bench(
        work=given.work,
        json_file=given.json,
        minutes=given.minutes,
        megabytes=given.megabytes,
        threads=1,
        processor_time=True,
    )
    short = whole.lasting(given.minutes * SHORT)
    base: Overrides = {"experiment": EXPERIMENTS[side]}
    steps = whole.steps(side, base)

    def tried(lr: str, mask_rate: str) -> Run:
        recipe = {**base, "optimizer.lr": lr, "objective.mask_rate": mask_rate}
        return short.ours(f"{side}, {lr}, {mask_rate}", recipe, round(steps * SHORT))

    best = min((tried(lr, MASK_RATES[0]) for lr in LEARNING_RATES), key=loss)
    best = min(best, tried(best["overrides"]["optimizer.lr"], MASK_RATES[1]), key=loss)
    recipe = {key: value for key, value in best["overrides"].items() if key != "steps"}
    return whole.ours(f"{side}, whole", recipe, steps), whole.folder(recipe, steps) / "thirds/3"


def loss(run: Run) -> float:
    """On unread books, at the end."""
    return float(run["books"][-1])


def rows(runs: dict[str, Run], scores_of: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
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
        ours, peer = (statistics.fmean(scores_of[side][task]) for side in ("modern", "bert"))
        found.append(
            {
                "what": f"fine-tuning, {task}",
                "ours": ours,
                "peer": peer,
                "ratio": ours / peer,
                "unit": f"{SETTINGS[task].metric}, mean of seeds",
                "peer_name": "BERT",
                "ours is": "ModernBERT",
                **{f"seeds of {side}": " ".join(f"{value:.1f}" for value in scores_of[side][task]) for side in runs},
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
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/speedrun", help="text, shards and runs")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/bert_to_modern.json")
    given = parser.parse_args()
    runs, tasks = {}, {}
    for side in given.sides:
        runs[side], model = pretrained(side, given)
        tuned = replace(FINE_TUNING, seeds=tuple(range(1, given.seeds + 1)))
        tasks[side] = scores(model, TASKS, tuned, {"hardware.threads": "1"})
    if set(runs) == set(EXPERIMENTS):
        found = rows(runs, tasks)
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for row in found:
            print(json.dumps({k: v for k, v in row.items() if k not in ("machine", "versions", "date")}))


if __name__ == "__main__":
    main()
