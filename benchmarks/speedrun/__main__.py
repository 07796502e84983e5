"""A speedrun for text encoders: what a recipe learns in a fixed time, judged by `transformers` (docs/speedrun.md).

    python -m benchmarks.speedrun laptop                     # its recipe, and the script of transformers
    python -m benchmarks.speedrun laptop --recipe experiment=budget --set optimizer.lr=2e-3 --no-peer
    python -m benchmarks.speedrun laptop --minutes 8 --processor-time --candidates mlm,ramp --json FILE     # pilots
    python -m benchmarks.speedrun gpu-hour --dry-run         # tiny, on the processor: whether every part of it works

A run is ``train.py`` with overrides; forty steps say how many fit into the time. Candidates
(benchmarks/speedrun/candidates.py) are tried each by itself on top of the recipe. Finished runs are lines in FILE's
neighbour ``FILE.runs.jsonl`` and are not made again under the same conditions; a run that was stopped resumes.
"""

import argparse
import json
import math
import shlex
import statistics
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speedrun.bench import REPOSITORY, Bench, Run
from benchmarks.speedrun.candidates import CANDIDATES
from benchmarks.speedrun.fine_tuning import Scores, scores
from benchmarks.speedrun.snapshots import THIRDS
from benchmarks.speedrun.tracks import DRY, SCRIPT, TASKS, TRACKS, Overrides, Track, dry


def row(run: Run, other: Run | None, other_name: str) -> dict[str, Any]:
    """One line of the table: a run next to the transformers' script or to the run of the recipe without the change."""
    same = other if other is not None and None not in (other["books"][-1], run["books"][-1]) else None
    is_whole = run["thirds"][0]["steps"] < run["thirds"][-1]["steps"]
    minutes = [run["minutes"] * third / len(THIRDS) for third in THIRDS] if is_whole else []
    last = run["thirds"][-1]
    return {
        "what": run["name"],
        "ours": blank(run["books"][-1]),
        "peer": same["books"][-1] if same else "",
        "ratio": math.exp(same["books"][-1] - run["books"][-1]) if same else "",
        "unit": "nats a masked token (ratio: of perplexities)",
        "peer_name": other_name if other else "",
        **{f"at {at:.3g} minutes": blank(value) for at, value in zip(minutes, run["books"], strict=False)},
        "bits a character": f"{run['bits']:.3f}" if "bits" in run else "",
        "peer's bits": f"{other['bits']:.3f}" if other and "bits" in other else "",
        "WikiText-2": blank(run["losses"][-1]),
        "tokens": last["tokens"],
        "steps": last["steps"],
        "minutes taken": last["seconds"] / 60,
        "clock": "processor" if run["processor_time"] else "wall",
        "cores": run["threads"],
        "overrides": " ".join(f"{key}={value}" for key, value in run["overrides"].items() if key != "steps"),
        **{part: run[part] for part in ("machine", "versions", "date")},
    }


def glue_row(line: dict[str, Any], ours: Scores, other: Scores | None) -> dict[str, Any]:
    """The same run by its mean score on the tasks."""
    mine, its = mean(ours), mean(other) if other else None
    common = ("minutes taken", "clock", "cores", "overrides", "machine", "versions", "date")
    return {
        "what": f"{line['what']}: GLUE",
        "ours": mine,
        "peer": blank(its),
        "ratio": mine / its if its else "",
        "unit": f"mean of {len(TASKS)} tasks and {len(ours[TASKS[0]])} seeds",
        "peer_name": line["peer_name"],
        **{task: statistics.fmean(values) for task, values in ours.items()},
        **{key: line[key] for key in common},
    }


def mean(found: Scores) -> float:
    """Of the tasks, each the mean of its seeds."""
    return statistics.fmean(statistics.fmean(values) for values in found.values())


def kept(file: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a file that these do not replace, and these: records stay next to one another."""
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    same = ("what", "overrides", "machine")
    return [row for row in old if all(any(row.get(key) != new[key] for key in same) for new in rows)] + rows


def lines(
    bench: Bench, track: Track, recipe: Overrides, run: Run, other: Run | None, other_name: str
) -> list[dict[str, Any]]:
    """The rows of a run: its loss, and its scores where the track has tasks."""
    first = row(run, other, other_name)
    if track.fine_tuning is None:
        return [first]
    hardware = {key: value for key, value in recipe.items() if key.partition(".")[0] == "hardware"}
    given = [scores(bench.model(each), TASKS, track.fine_tuning, hardware) for each in (run, other) if each is not None]
    return [first, glue_row(first, given[0], given[1] if other is not None else None)]


def blank(value: float | None) -> float | str:
    """A cell without a figure is empty."""
    return "" if value is None else value


def overrides(words: list[str], parser: argparse.ArgumentParser) -> Overrides:
    """``key=value`` each."""
    if wrong := [word for word in words if "=" not in word]:
        parser.error(f"{wrong[0]}: expected KEY=VALUE, as of train.py")
    return dict(word.split("=", 1) for word in words)


def arguments() -> tuple[argparse.Namespace, Track, Overrides]:
    """Of the command, with the track and the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("track", choices=TRACKS)
    parser.add_argument("--recipe", nargs="+", metavar="KEY=VALUE", help="by default the track's own")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="on top of the recipe"
    )
    parser.add_argument("--name", help="of the row: what the recipe changes")
    parser.add_argument("--candidates", default="", metavar="A,B", help=f"of {', '.join(CANDIDATES)}")
    parser.add_argument("--minutes", type=float, help="of training; by default the track's")
    parser.add_argument("--steps", type=int, help="of each run, whatever they take, instead of as many as fit")
    parser.add_argument("--megabytes", type=float, help="of the books; by default the track's")
    parser.add_argument("--text", metavar="PATTERN", help="files in place of the books, where the track allows it")
    parser.add_argument("--processor-time", action="store_true", help="of one thread, next to other work")
    parser.add_argument("--dry-run", action="store_true", help="every part at a tiny size, on the processor")
    parser.add_argument("--no-peer", action="store_true", help="without the script of transformers")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/speedrun", help="text, shards and runs")
    parser.add_argument("--json", type=Path, help="by default benchmarks/measured/speedrun.TRACK.json")
    given = parser.parse_args()
    given.words = [word for word in sys.argv[1:] if word not in ("--json", str(given.json), "--work", str(given.work))]
    track = dry(TRACKS[given.track]) if given.dry_run else TRACKS[given.track]
    given.minutes, given.megabytes = given.minutes or track.minutes, given.megabytes or track.megabytes
    given.steps = given.steps or (8 if given.dry_run else None)
    place = "runs/bench/dry" if given.dry_run else "benchmarks/measured/speedrun"
    given.json = given.json or REPOSITORY / f"{place}.{given.track}.json"
    if given.text and not track.any_text:
        parser.error(f"--text: the track {given.track} reads the books")
    if given.processor_time and track.hardware:
        parser.error(f"--processor-time: the track {given.track} does not run on the processor")
    given.candidates = [name for name in given.candidates.split(",") if name]
    if unknown := [name for name in given.candidates if name not in CANDIDATES]:
        parser.error(f"{unknown[0]}: no candidate; there are {', '.join(CANDIDATES)}")
    given.no_peer = given.no_peer or given.processor_time or bool(given.candidates)
    if not given.no_peer and find_spec("accelerate") is None:
        parser.error("transformers' Trainer needs accelerate: pip install --no-deps accelerate, or --no-peer")
    recipe = overrides(given.recipe, parser) if given.recipe else track.recipe
    recipe = {**track.hardware, **recipe, **overrides(given.set, parser), **(DRY if given.dry_run else {})}
    return given, track, recipe


def main() -> None:
    """Run what is missing, print the rows, write them."""
    given, track, recipe = arguments()
    bench = Bench(
        work=given.work,
        json_file=given.json,
        minutes=given.minutes,
        megabytes=given.megabytes,
        threads=1 if given.processor_time else track.threads,
        processor_time=given.processor_time,
        peer_size=track.peer_size,
        steps=given.steps,
        text=given.text,
    )
    name = given.name or " ".join(f"{key}={value}" for key, value in recipe.items())
    base = bench.fitting(name, recipe)
    other = None if given.no_peer else bench.peer("the script of transformers", SCRIPT)
    pairs = [({**base, "name": name}, other, "transformers, defaults of its script")]
    for each in given.candidates:
        candidate = CANDIDATES[each]
        run = bench.fitting(candidate.what, {**recipe, **candidate.overrides})
        pairs.append(({**run, "name": candidate.what}, base, name))
    rows = [line for pair in pairs for line in lines(bench, track, recipe, *pair)]
    command = f"python -m benchmarks.speedrun {shlex.join(given.words)}"
    rows = [{**each, "command": command} for each in rows]
    given.json.write_text(json.dumps(kept(given.json, rows), indent=2) + "\n", encoding="utf-8")
    for each in rows:
        print(
            json.dumps({k: v for k, v in each.items() if k not in ("command", "machine", "versions", "date", "unit")})
        )


if __name__ == "__main__":
    main()
