"""Which recipe learns most in half an hour of two cores: BERT-Mini on books, judged on others and on WikiText-2.

    python -m benchmarks.budget                     # five hours; stopped, it goes on with the missing runs
    python -m benchmarks.budget --minutes 0.2 --megabytes 2 --json runs/bench/trial.json    # a trial

The first run is the recipe as published; each further one is ``train.py`` with one change more, which is kept where the
loss at the end is lower. Then the same time with ``transformers``' Trainer. The time is that of training on the wall
clock; preparation is outside. At each third the model is written, and afterwards judged by ``transformers`` for both
sides alike: the loss of 15 % masked tokens of books which nobody read, and that of WikiText-2's validation text. The
books choose what is kept: who has learned more of books may know less of an encyclopaedia. Every finished run is a
line in FILE's neighbour ``FILE.runs.jsonl`` at once (same machine, versions, time and overrides: not run again).
"""

import argparse
import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from benchmarks.budget.judge import heldout, loss
from benchmarks.budget.recipes import CHANGES, PEERS, PHASES, PUBLISHED, Change, Overrides
from benchmarks.budget.snapshots import FACTS, THIRDS
from benchmarks.machine import describe_machine

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CLOZE_DATA", REPOSITORY / "../shared/data")).resolve()
UNREAD = "unread"  # no recipe sees these books
Run = dict[str, Any]


class Bench:
    """The runs of one budget: made where they are missing.

    Args:
        given: the arguments of the command.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.seconds, self.work, self.threads = 60 * given.minutes, given.work.absolute(), given.threads
        self.log = given.json.with_suffix(".runs.jsonl")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.vocab = next(iter(sorted((DATA / "vocab").glob("*uncased*.txt"))))
        self.books = unpacked(DATA / "corpus/classic_books.tar.xz", self.work, given.megabytes)
        machine = {name: value for name, value in describe_machine().items() if name != "date"}
        self.conditions = {"minutes": given.minutes, "megabytes": given.megabytes, "threads": given.threads, **machine}
        self.heldout = heldout([(DATA / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8")], self.vocab)
        unread = sorted((self.books / UNREAD).glob("*.md"))
        self.unread = heldout([file.read_text(encoding="utf-8") for file in unread], self.vocab)

    def ours(self, name: str, overrides: Overrides, steps: int | None = None, *, judged: bool = True) -> Run:
        """One run of ``train.py``; with a number of steps for what cannot be ended by the clock."""
        # What was stopped goes on in its folder; nothing else may.
        what = hashlib.sha256(json.dumps([dict(overrides), steps, self.seconds, str(self.books)]).encode())
        folder = self.work / "runs" / what.hexdigest()[:12]
        end = [f"trainer.max_time={self.seconds:.0f}s"] if steps is None else [f"trainer.max_steps={steps}"]
        prepared = self.books.with_name(f"prepared-{self.books.name}")
        words = [
            "train.py",
            *(f"{key}={value}" for key, value in overrides.items()),
            "corpus=text",
            f"corpus.files={self.books}/*.md",
            f"corpus.prepared={prepared}",
            f"tokenizer.vocab={self.vocab}",
            f"folder={folder}",
            *(["trainer.max_steps=null"] if steps is None else []),
            *end,
            "trainer.validate_every=100000000",  # at the end alone
            "data.heldout_tokens=4096",
            f"hardware.threads={self.threads}",
            "+callbacks.budget._target_=benchmarks.budget.snapshots.Snapshots",
            f"+callbacks.budget.folder={folder}/thirds",
            f"+callbacks.budget.seconds={self.seconds}",
            f"+callbacks.budget.tokenizer={prepared}/tokenizer",
        ]
        key = {**overrides, "steps": str(steps) if judged else f"{steps}, unjudged"}
        return self._run("ours", name, key, words, folder / "thirds", judged=judged)

    def peer(self, name: str, overrides: Overrides) -> Run:
        """One run of ``transformers``' Trainer."""
        folder = self.work / "runs" / "peer"
        files = [str(file) for file in sorted(self.books.glob("*.md"))]
        words = ["-m", "benchmarks.budget.peer", str(folder), str(self.seconds), PUBLISHED["model"], str(self.vocab)]
        words += [*files, "--", *(f"{key}={value}" for key, value in overrides.items())]
        return self._run("peer", name, overrides, words, folder)

    def _run(
        self, side: str, name: str, overrides: Overrides, words: list[str], folder: Path, *, judged: bool = True
    ) -> Run:
        key = {"side": side, "name": name, "overrides": dict(overrides), **self.conditions}
        for run in self.finished():
            if run["overrides"] == key["overrides"] and all(run[part] == key[part] for part in key if part != "name"):
                return run
        print(f"{name} ...", end=" ", flush=True)
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": path}
        command = [sys.executable, *words]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"failed: {shlex.join(command)}\n{done.stdout}{done.stderr}")
        places = [folder / str(third) for third in THIRDS]
        facts = [json.loads((place / FACTS).read_text(encoding="utf-8")) for place in places]
        run = {**key, "thirds": facts}
        if judged:
            run["losses"] = [loss(place, self.heldout) for place in places]
            run["books"] = [loss(place, self.unread) for place in places]
        with self.log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(run) + "\n")
        print(", ".join(f"{value:.3f}" for value in run.get("books", [])), flush=True)
        return run

    def finished(self) -> list[Run]:
        """The runs of the file."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


def unpacked(archive: Path, work: Path, megabytes: float) -> Path:
    """The first books, up to a size, in a folder of their own; the last eight of all in its folder ``unread``."""
    folder = work / f"books-{megabytes:g}"
    if not (folder / UNREAD / "complete").exists():
        (folder / UNREAD).mkdir(parents=True, exist_ok=True)
        left = megabytes * 1e6
        with tarfile.open(archive) as books:
            members = [member for member in books.getmembers() if member.name.endswith(".md")]
            for number, member in enumerate(members):
                last = number >= len(members) - 8
                if (last or left > 0) and (content := books.extractfile(member)) is not None:
                    (folder / (UNREAD if last else "") / Path(member.name).name).write_bytes(content.read())
                    left -= member.size
        (folder / UNREAD / "complete").touch()
    return folder


class Train(Protocol):
    """One run, from its name, its overrides, and its steps where the clock cannot end it."""

    def __call__(self, name: str, overrides: Overrides, steps: int | None, *, judged: bool = True) -> Run: ...


def fitting(train: Train, name: str, overrides: Overrides, best: Run) -> int:
    """How many steps take the time of the best run, from a thirtieth of that run's steps."""
    few = max(3, best["thirds"][-1]["steps"] // 30)
    seconds = train(f"pace of {name}", overrides, few, judged=False)["thirds"][-1]["seconds"]
    return max(1, int(few * best["thirds"][-1]["seconds"] / seconds))


def search(train: Train, changes: Sequence[Change]) -> tuple[list[Run], Overrides]:
    """The published recipe and each change on what was best before it; and the best.

    Args:
        train: makes a run.
        changes: in the order in which they are tried.
    """
    kept = dict(PUBLISHED)
    best = train("as published", kept, None)
    runs = [best]
    for change in changes:
        tried = {**kept, **change.overrides}
        steps = fitting(train, change.name, tried, best) if PHASES in tried else None
        run = train(change.name, tried, steps)
        runs.append({**run, "name": f"+ {change.name}"})
        if run["books"][-1] < best["books"][-1]:
            kept, best = tried, run
    return runs, kept


def rows(runs: Sequence[Run], peers: Sequence[Run]) -> list[dict[str, Any]]:
    """One line for each run, beside the best of the other side."""
    other = min(peers, key=lambda run: run["books"][-1])
    lowest, found = math.inf, []
    for run in [*runs, *peers]:
        end = run["books"][-1]
        minutes = [run["minutes"] * third / len(THIRDS) for third in THIRDS]
        found.append(
            {
                "what": run["name"],
                "ours": end,
                "peer": other["books"][-1],
                "ratio": math.exp(other["books"][-1] - end),
                "unit": "nats a masked token (ratio: of perplexities)",
                "peer_name": other["name"],
                **{f"at {at:.3g} minutes": value for at, value in zip(minutes, run["books"], strict=True)},
                **{f"WikiText-2, {at:.3g}": value for at, value in zip(minutes, run["losses"], strict=True)},
                "tokens": run["thirds"][-1]["tokens"],
                "steps": run["thirds"][-1]["steps"],
                "minutes taken": run["thirds"][-1]["seconds"] / 60,
                "kept": "yes" if run["side"] == "ours" and end < lowest else "",
                **describe_machine(),
            }
        )
        lowest = min(lowest, end) if run["side"] == "ours" else lowest
    return found


def main() -> None:
    """Run what is missing, print the table and the best recipe, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="of each run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--megabytes", type=float, default=60, help="of the books; no recipe reads them all in half an hour"
    )
    parser.add_argument("--changes", type=int, default=len(CHANGES), help="only so many of the changes")
    parser.add_argument("--peers", type=int, default=len(PEERS), help="only so many of the other side's runs")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/budget", help="text, shards and runs")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/budget.json")
    given = parser.parse_args()
    if given.peers and find_spec("accelerate") is None:
        parser.error("transformers' Trainer needs accelerate: pip install --no-deps accelerate, or --peers 0")
    bench = Bench(given)
    runs, best = search(bench.ours, CHANGES[: given.changes])
    peers = [bench.peer(name, overrides) for name, overrides in list(PEERS.items())[: given.peers]]
    found = rows(runs, peers or runs[:1])
    given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for row in found:
        print(json.dumps({k: v for k, v in row.items() if k not in ("machine", "versions", "date", "unit")}))
    print("best: python train.py", *(f"{key}={value}" for key, value in best.items()))


if __name__ == "__main__":
    main()
