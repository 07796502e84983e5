"""The runs of a track: made where they are missing, and judged."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

from benchmarks.machine import describe_machine
from benchmarks.speedrun import judge
from benchmarks.speedrun.snapshots import FACTS, THIRDS
from benchmarks.speedrun.tracks import Overrides

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CLOZE_DATA", REPOSITORY / "../shared/data")).resolve()
UNREAD = "unread"  # no recipe sees these books
PILOT = 40
"""Steps, whose time says how many fit; phases and ramps need a number of steps."""
SAFE = 0.98
"""Of the time is planned: a run that takes longer than it has is no record."""

Run = dict[str, Any]


class Bench:
    """The runs of one budget, on one machine.

    Args:
        work: folder of text, shards and runs.
        json_file: of the rows; its neighbour ``.runs.jsonl`` has a line for each finished run.
        minutes: of training.
        megabytes: of the books that are read.
        threads: of a training.
        processor_time: whether the clock counts the seconds of the training process alone.
        peer_size: of the BERT that the script of transformers trains.
        steps: of each run, whatever they take; None for as many as fit.
        text: files in place of the books.
    """

    def __init__(
        self,
        *,
        work: Path,
        json_file: Path,
        minutes: float,
        megabytes: float,
        threads: int,
        processor_time: bool,
        peer_size: str = "mini",
        steps: int | None = None,
        text: str | None = None,
    ) -> None:
        self.seconds, self.threads, self.processor_time = 60 * minutes, threads, processor_time
        self.given_steps, self.peer_size = steps, peer_size
        self.work = work.absolute()
        self.log = json_file.with_suffix(".runs.jsonl")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.vocab = next(iter(sorted((DATA / "vocab").glob("*uncased*.txt"))))
        self.books = unpacked(DATA / "corpus/classic_books.tar.xz", self.work, megabytes)
        unread = sorted((self.books / UNREAD).glob("*.md"))
        self.unread = judge.Judge([file.read_text(encoding="utf-8") for file in unread], self.vocab)
        self.text = str(Path(text).absolute()) if text else f"{self.books}/*.md"
        machine = describe_machine()
        self.machine, self.date = machine["machine"], machine["date"]
        if text:
            self.books = self.work / hashlib.sha256(text.encode()).hexdigest()[:6]
        budget = {"minutes": minutes, "megabytes": megabytes, "threads": threads, "processor_time": processor_time}
        self.conditions = {**budget, "versions": machine["versions"]}
        self.wikitext = judge.Judge([(DATA / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8")], self.vocab)

    def lasting(self, minutes: float) -> Self:
        """The same with another budget: the held-out texts are read once."""
        other = copy(self)
        other.seconds, other.conditions = 60 * minutes, {**self.conditions, "minutes": minutes}
        return other

    def fitting(self, name: str, recipe: Overrides) -> Run:
        """The run of a recipe with as many steps as the pace of a pilot says that fit."""
        for run in self.finished():
            own = {key: value for key, value in run["overrides"].items() if key != "steps"}
            is_same = (run["side"], run["machine"], own) == ("ours", self.machine, dict(recipe)) and "books" in run
            if is_same and self.given_steps in (None, run["thirds"][-1]["steps"]):
                return run
        return self.ours(name, recipe, self.given_steps or self.steps(name, recipe))

    def steps(self, name: str, recipe: Overrides) -> int:
        """How many of them fit."""
        pilot = self.ours(f"pace of {name}", recipe, PILOT, judged=False)["thirds"][-1]
        pace = pilot.get("pace", pilot["seconds"] / PILOT)
        return max(1, int((SAFE * self.seconds - (pilot["seconds"] - pace * PILOT)) / pace))

    def folder(self, overrides: Overrides, steps: int) -> Path:
        """Of one run of ``train.py``: what was stopped resumes in its folder; nothing else may."""
        what = hashlib.sha256(json.dumps([dict(overrides), steps, self.seconds, str(self.books)]).encode())
        return self.work / "runs" / what.hexdigest()[:12]

    def ours(self, name: str, overrides: Overrides, steps: int, *, judged: bool = True) -> Run:
        """One run of ``train.py``."""
        folder = self.folder(overrides, steps)
        tokenizer = {f"tokenizer.vocab={self.vocab}": None}
        text = {key: value for key, value in overrides.items() if key.partition(".")[0] in ("tokenizer", "preparation")}
        kept = hashlib.sha256(json.dumps(text).encode()).hexdigest()[:6] if text else "prepared"
        prepared = self.books.with_name(f"{kept}-{self.books.name}")
        words = [
            "train.py",
            *({} if text else tokenizer),
            *(f"{key}={value}" for key, value in overrides.items()),
            "corpus=text",
            f"corpus.files={self.text}",
            f"corpus.prepared={prepared}",
            f"folder={folder}",
            "trainer.max_time=null",
            f"trainer.max_steps={steps}",
            "trainer.validate_every=100000000",  # at the end alone
            "data.heldout_tokens=4096",
            f"hardware.threads={self.threads}",
            "+callbacks.speedrun._target_=benchmarks.speedrun.snapshots.Snapshots",
            f"+callbacks.speedrun.folder={folder}/thirds",
            f"+callbacks.speedrun.seconds={self.seconds}",
            f"+callbacks.speedrun.tokenizer={prepared}/tokenizer",
            f"+callbacks.speedrun.processor_time={self.processor_time}",
        ]
        key = {**overrides, "steps": str(steps) if judged else f"{steps}, unjudged"}
        return self._run("ours", name, key, words, folder / "thirds", judged=judged)

    def model(self, run: Run) -> Path:
        """The folder at the end of a run."""
        if run["side"] == "peer":
            return self.peer_folder(run["overrides"]) / str(THIRDS[-1])
        own = {key: value for key, value in run["overrides"].items() if key != "steps"}
        return self.folder(own, int(run["overrides"]["steps"])) / "thirds" / str(THIRDS[-1])

    def peer_folder(self, overrides: Overrides) -> Path:
        """Of one run of ``transformers``' Trainer: the scores of a model lie next to it."""
        what = json.dumps([dict(overrides), self.peer_size, self.seconds, str(self.books)])
        return self.work / "runs" / f"peer-{hashlib.sha256(what.encode()).hexdigest()[:12]}"

    def peer(self, name: str, overrides: Overrides) -> Run:
        """One run of ``transformers``' Trainer."""
        if self.given_steps is not None:
            overrides = {**overrides, "max_steps": str(self.given_steps)}
        folder = self.peer_folder(overrides)
        files = sorted(map(str, Path("/").glob(self.text.removeprefix("/"))))
        words = ["-m", "benchmarks.speedrun.peer", str(folder), str(self.seconds), self.peer_size, str(self.vocab)]
        words += [*files, "--", *(f"{key}={value}" for key, value in overrides.items())]
        return self._run("peer", name, overrides, words, folder)

    def _run(
        self, side: str, name: str, overrides: Overrides, words: list[str], folder: Path, *, judged: bool = True
    ) -> Run:
        for run in self.finished():
            if (run["side"], run["machine"], run["overrides"]) == (side, self.machine, overrides):
                return run
        print(f"{name} ...", end=" ", flush=True)
        call([sys.executable, *words], self.threads)
        places = [folder / str(third) for third in THIRDS]
        facts = [json.loads((place / FACTS).read_text(encoding="utf-8")) for place in places]
        key = {"side": side, "name": name, "overrides": dict(overrides), **self.conditions}
        run = {**key, "machine": self.machine, "date": self.date, "thirds": facts}
        if judged:
            alike = {
                fact["steps"]: place for fact, place in zip(facts, places, strict=True)
            }  # a short run ends at once
            for text, held in (("losses", self.wikitext), ("books", self.unread)):
                losses = {steps: held.loss(place) for steps, place in alike.items()}
                run[text] = [losses[fact["steps"]] for fact in facts]
            run["bits"] = self.unread.bits(places[-1])
        with self.log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(run) + "\n")
        print(run.get("books", [""])[-1], flush=True)
        return run

    def finished(self) -> list[Run]:
        """The runs of the file under these conditions, on whichever machine."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [
            run for run in map(json.loads, lines) if all(run[key] == self.conditions[key] for key in self.conditions)
        ]


def call(command: Sequence[str], threads: int) -> None:
    """A command in the repository; ends this program where that fails."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
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
