"""Runs a command to its end, and again under another name while it is killed at random moments.

    python -m tests.launch.forked SEED KILLS train.py|finetune.py WORDS...

Everything is imported once; each start is a fork, which begins within a second. Moments are counted in checkpoints, and
not in seconds, so that they mean the same on a busy machine: before the first one of a process, or between one of the
next two and the one after it, so that start-up, training, evaluation and saving are all hit. Prints how often a process
was killed after it had written something. A command needs three checkpoints a kill, and some more.
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


def newest(run: str) -> int:
    """The step of its newest checkpoint, 0 without one."""
    return max((int(file.stem[-8:]) for file in Path("runs", run, "checkpoints").glob("step-*.ckpt")), default=0)


def undisturbed(script: str, words: list[str]) -> tuple[float, float]:
    """Run to the end; returns the seconds until the first checkpoint and from that to the second."""
    times = [time.monotonic()]
    child, last = start(script, [*words, "run=whole"]), 0
    while len(times) < 3 and not is_over(child):
        if (step := newest("whole")) > last:
            times, last = [*times, time.monotonic()], step
        time.sleep(0.002)
    status = end(child)
    if status or len(times) < 3:
        sys.exit(f"the undisturbed run ended with {status}")
    return times[1] - times[0], times[2] - times[1]


def main(seed: int, kills: int, script: str, words: list[str]) -> None:
    """Run, kill, run to the end."""
    first, next_one = undisturbed(script, words)
    moments, late = random.Random(seed), 0
    for _ in range(kills):
        child, last = start(script, [*words, "run=parts"]), newest("parts")
        wanted = moments.randrange(3)
        pause = moments.uniform(0.0, next_one if wanted else first)
        while wanted and not is_over(child):
            if (step := newest("parts")) > last:
                wanted, last = wanted - 1, step
            time.sleep(0.002)
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)
        if end(child) == 0:
            sys.exit("the run was over before the last kill: give it more steps")
        late += newest("parts") > 0
    print(f"killed {kills} times, {late} of them with checkpoints on disk", flush=True)
    sys.exit(end(start(script, [*words, "run=parts"])))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
