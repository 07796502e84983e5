"""Runs a command to its end, and again under another name while it is killed at random moments.

    python -m tests.launch.forked SEED KILLS train.py|finetune.py WORDS...

Everything is imported once; each start is a fork, which begins within a second. The moments reach from the start of the
process to a little after its first checkpoint could have been written, so that start-up, training, evaluation and
saving are all hit. Prints how often a process was killed after it had written something.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import cloze.launch.finetuning
import cloze.launch.pretraining  # noqa: F401 - so that a fork begins at once
from cloze.cli import finetune, train

SECONDS = 400.0
"""That one fork may take: less than a test, so that its test can tell what it said."""


def start(script: str, words: list[str]) -> int:
    """The process id of a fork that runs the command."""
    child = os.fork()
    if child == 0:
        sys.argv = [script, *words]
        status = {"train.py": train, "finetune.py": finetune}[script].main()
        sys.stdout.flush()
        os._exit(status)
    return child


def end(child: int, seconds: float = SECONDS) -> int:
    """The exit status; minus the number of the signal that killed it. Who has not ended in time is killed."""
    deadline = time.monotonic() + seconds
    while not is_over(child):
        if time.monotonic() > deadline:
            print(f"process {child} was killed after {seconds:g} s", file=sys.stderr, flush=True)
            os.kill(child, signal.SIGKILL)
            deadline += seconds
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(os.waitpid(child, os.WNOHANG)[1])


def is_over(child: int) -> bool:
    """Whether a fork has ended, without taking its status."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def undisturbed(script: str, words: list[str]) -> float:
    """Run to the end; returns the seconds until the first checkpoint."""
    began, first = time.monotonic(), None
    child = start(script, [*words, "run=whole"])
    index = Path("runs/whole/checkpoints/index.json")
    while first is None and not is_over(child):
        if index.exists():
            first = time.monotonic() - began
        time.sleep(0.01)
    status = end(child)
    if status or first is None:
        sys.exit(f"the undisturbed run ended with {status}")
    return first


def main(seed: int, kills: int, script: str, words: list[str]) -> None:
    """Run, kill, run to the end."""
    longest = 1.4 * undisturbed(script, words)
    moments, late = random.Random(seed), 0
    for _ in range(kills):
        child = start(script, [*words, "run=parts"])
        time.sleep(moments.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        if end(child) == 0:
            sys.exit("the run was over before the last kill: give it more steps")
        late += Path("runs/parts/checkpoints").is_dir()
    print(f"killed {kills} times, {late} of them with checkpoints on disk", flush=True)
    sys.exit(end(start(script, [*words, "run=parts"])))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
