"""Hours of training that is killed every few minutes, next to the same training left alone; both have to end equal.

    python -m tests.launch.soak --minutes 3 -- train.py experiment=pydocs trainer.max_steps=20000

The command is started as a user would start it, each time as a new process. Most of the times it is killed (SIGKILL),
every third time told to stop (SIGTERM). The log has a line for each start, with the step that it went on from.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests import processes
from tests.conftest import REPOSITORY
from tests.launch.test_killed import assert_equal_runs

DAYS = 7


def started(words: list[str], run: str, log: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, under the name of a run; what it says goes into a file."""
    with log.open("wb") as output:
        return processes.start(
            [sys.executable, str(REPOSITORY / words[0]), *words[1:], f"run={run}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        )


def tell(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def disturbed(words: list[str], minutes: float, seed: int) -> int:
    """Kill and start again until the run is over; the number of times."""
    moments, log = random.Random(seed), Path("parts.log")
    for number in range(1, 10_000):
        process = started(words, "parts", log)
        kind = signal.SIGTERM if number % 3 == 0 else signal.SIGKILL
        try:
            process.wait(timeout=60 * minutes * moments.uniform(0.1, 1.9))
        except subprocess.TimeoutExpired:
            process.send_signal(kind)
            process.wait(timeout=300)
        said = log.read_text(encoding="utf-8", errors="replace")
        began = re.search(r"resuming from \S+/step-0*(\d+)\.ckpt", said)
        status = process.returncode
        tell(f"start {number}: from step {began[1] if began else 0}, ended with {status}")
        if status == 0:
            return number - 1
        if status not in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
            sys.exit(said)
    raise RuntimeError("the run never ended")


def main() -> None:
    """Both runs at the same time, then the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="between two kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("words", nargs="+", help="the command: train.py or finetune.py and its overrides")
    arguments = parser.parse_args()
    began = time.monotonic()
    whole = started(arguments.words, "whole", Path("whole.log"))
    kills = disturbed(arguments.words, arguments.minutes, arguments.seed)
    tell(f"the disturbed run is over after {(time.monotonic() - began) / 3600:.2f} h and {kills} kills")
    if whole.wait(timeout=DAYS * 24 * 3600):
        sys.exit(Path("whole.log").read_text(encoding="utf-8", errors="replace"))
    tell(f"the undisturbed run is over after {(time.monotonic() - began) / 3600:.2f} h")
    assert_equal_runs(Path("runs"), "whole", "parts")
    tell("weights and metrics are equal to the bit")


if __name__ == "__main__":
    main()
