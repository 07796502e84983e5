"""How long a command takes to begin: help, a refused configuration, the import of cloze, and training's first step.

    python -m cloze.cli.prepare && python -m benchmarks.start_up --json FILE

Each is a process of its own, from its start to its end; that of training ends itself after the first optimizer step of
``experiment=pydocs`` on the prepared corpus. One run comes first and is not counted: it compiles what numba keeps, and
reads what the system keeps. The medians are of the time on the clock; next to them stands the time on processors, which
another job on the machine disturbs less.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl

from benchmarks.machine import print_rows, write_rows

REPOSITORY = Path(__file__).resolve().parents[1]
MILLISECONDS = 1000


class FirstStep(pl.Callback):
    """Ends the process after its first optimizer step."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step:
            os._exit(0)


class Start(NamedTuple):
    """A command, and what it shall stay below.

    Attributes:
        what: for the reader.
        words: of the command line.
        goal: seconds on the clock, from the project's plan.
        status: with which it ends.
    """

    what: str
    words: list[str]
    goal: float
    status: int = 0


def starts(corpus: Path) -> list[Start]:
    """What is measured."""
    train = [sys.executable, str(REPOSITORY / "train.py")]
    first = "+callbacks.first={_target_: benchmarks.start_up.FirstStep}"
    step = ["experiment=pydocs", f"corpus.prepared={corpus}", f"preparation.workers={os.cpu_count()}", first]
    return [
        Start("import cloze", [sys.executable, "-c", "import cloze"], 0.3),
        Start("train.py --help", [*train, "--help"], 1.5),
        Start("train.py optimizer.lrr=1, refused", [*train, "optimizer.lrr=1"], 1.5, status=2),
        Start("train.py to the first step", [*train, *step], 12.0),
    ]


def seconds(start: Start) -> tuple[float, float]:
    """Of one process: on the clock, and on processors with all that it has started.

    Raises:
        RuntimeError: it ends otherwise than it should.
    """
    before, began = _processor(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(start.words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        clock = time.perf_counter() - began
    if done.returncode != start.status:
        raise RuntimeError(f"{start.what}: status {done.returncode}\n{done.stderr}")
    return clock, _processor() - before


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(start: Start, rounds: int) -> dict[str, Any]:
    """One row: the median next to the goal."""
    seconds(start)
    clocks, processors = zip(*(seconds(start) for _ in range(rounds)), strict=True)
    clock = statistics.median(clocks)
    return {
        "what": start.what,
        "unit": "ms",
        "ours": MILLISECONDS * clock,
        "peer": MILLISECONDS * start.goal,
        "peer_name": "the goal",
        "ratio": start.goal / clock,
        "processor_ms": MILLISECONDS * statistics.median(processors),
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print a line each and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    prepared = sorted(Path("data").glob("pydocs-*/manifest.json"))
    corpus = prepared[0].parent if prepared else Path("data/pydocs")
    parser.add_argument("--corpus", type=Path, default=corpus, help="prepared by cloze-prepare")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="those whose name has this in it")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    if not (arguments.corpus / "manifest.json").is_file():
        parser.error(f"{arguments.corpus} is no prepared corpus: python -m cloze.cli.prepare makes it")
    rows = []
    for start in starts(arguments.corpus.resolve()):
        if arguments.only and arguments.only not in start.what:
            continue
        rows.append(measure(start, arguments.rounds))
        print_rows(rows[-1:])
    if arguments.json:
        write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
