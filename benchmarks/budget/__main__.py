"""Which recipe learns most in half an hour of two cores: BERT-Mini on books, judged on others and on WikiText-2.

    python -m benchmarks.budget                     # five hours; stopped, it goes on with the missing runs
    python -m benchmarks.budget --minutes 0.2 --megabytes 2 --json runs/bench/trial.json    # a trial

The first run is the recipe as published; each further one is ``train.py`` with one change more, which is kept where the
loss at the end is lower. Then the same time with ``transformers``' Trainer. The time is that of training on the wall
clock; preparation is outside. At each third the model is written, and afterwards judged by ``transformers`` for both
sides alike: the loss of 15 % masked tokens of books which nobody read, and that of WikiText-2's validation text. The
books choose what is kept: who has learned more of books may know less of an encyclopaedia. Every finished run is a
line in FILE's neighbour ``FILE.runs.jsonl`` at once, and is not made again under the same conditions. On another
machine the search goes on with the missing runs and makes the best recipe's once more, to have something next to them.
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from benchmarks.budget.judge import heldout, loss
from benchmarks.budget.recipes import CHANGES, PEERS, PUBLISHED, Overrides
from benchmarks.budget.search import Run, Search, rows
from benchmarks.budget.snapshots import FACTS, THIRDS
from benchmarks.machine import describe_machine

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CLOZE_DATA", REPOSITORY / "../shared/data")).resolve()
UNREAD = "unread"  # no recipe sees these books


class Bench:
    """The runs of one budget: made where they are missing.

    Args:
        given: the arguments of the command.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.seconds, self.threads = 60 * given.minutes, given.threads
        self.work: Path = given.work.absolute()
        self.processor_time = given.processor_time
        self.log = given.json.with_suffix(".runs.jsonl")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.vocab = next(iter(sorted((DATA / "vocab").glob("*uncased*.txt"))))
        self.books = unpacked(DATA / "corpus/classic_books.tar.xz", self.work, given.megabytes)
        machine = describe_machine()
        self.machine, self.date = machine["machine"], machine["date"]
        budget = {"minutes": given.minutes, "megabytes": given.megabytes, "threads": given.threads}
        self.conditions = {**budget, "versions": machine["versions"]}
        self.heldout = heldout([(DATA / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8")], self.vocab)
        unread = sorted((self.books / UNREAD).glob("*.md"))
        self.unread = heldout([file.read_text(encoding="utf-8") for file in unread], self.vocab)

    def lasting(self, minutes: float) -> Self:
        """The same with another budget: the held-out texts are read once."""
        other = copy(self)
        other.seconds, other.conditions = 60 * minutes, {**self.conditions, "minutes": minutes}
        return other

    def folder(self, overrides: Overrides, steps: int | None) -> Path:
        """Of one run of ``train.py``: what was stopped resumes in its folder; nothing else may."""
        what = hashlib.sha256(json.dumps([dict(overrides), steps, self.seconds, str(self.books)]).encode())
        return self.work / "runs" / what.hexdigest()[:12]

    def ours(self, name: str, overrides: Overrides, steps: int | None = None, *, judged: bool = True) -> Run:
        """One run of ``train.py``; with a number of steps for what cannot be ended by the clock."""
        folder = self.folder(overrides, steps)
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
            f"+callbacks.budget.processor_time={self.processor_time}",
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
        for run in self.finished():
            if (run["side"], run["machine"], run["overrides"]) == (side, self.machine, overrides):
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
        key = {"side": side, "name": name, "overrides": dict(overrides), **self.conditions}
        run = {**key, "machine": self.machine, "date": self.date, "thirds": facts}
        if judged:
            run["losses"] = [loss(place, self.heldout) for place in places]
            run["books"] = [loss(place, self.unread) for place in places]
        with self.log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(run) + "\n")
        print(", ".join(f"{value:.3f}" for value in run.get("books", [])), flush=True)
        return run

    def finished(self) -> list[Run]:
        """The runs of the file under these conditions, on whichever machine."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [
            run for run in map(json.loads, lines) if all(run[key] == self.conditions[key] for key in self.conditions)
        ]


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


def main() -> None:
    """Run what is missing, print the table and the best recipe, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="of each run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--megabytes", type=float, default=60, help="of the books; no recipe reads them all in half an hour"
    )
    parser.add_argument("--changes", type=int, default=len(CHANGES), help="only this many of the changes")
    parser.add_argument("--peers", type=int, default=len(PEERS), help="only this many of the other side's runs")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/budget", help="text, shards and runs")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/measured/budget.json")
    parser.set_defaults(processor_time=False)
    given = parser.parse_args()
    if given.peers and find_spec("accelerate") is None:
        parser.error("transformers' Trainer needs accelerate: pip install --no-deps accelerate, or --peers 0")
    bench = Bench(given)
    search = Search(bench.ours, bench.finished, bench.machine)
    for change in CHANGES[: given.changes]:
        search.change(change)
    for name, overrides in list(PEERS.items())[: given.peers]:
        search.peer(name, overrides, bench.peer)
    found = rows(search.runs)
    given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for row in found:
        print(json.dumps({k: v for k, v in row.items() if k not in ("machine", "versions", "date", "unit")}))
    print("best: python train.py", *(f"{key}={value}" for key, value in search.kept.items()))


if __name__ == "__main__":
    main()
