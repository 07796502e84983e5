"""Processes that monitor each other: if one is lost, the others name it and end."""

import atexit
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from cloze.errors import TRY_AGAIN, Lost
from cloze.runtime.stopping import SIGNALLED, STOPS, stop_request

GRACE = 10.0
"""Seconds that a process has to end by itself."""
SILENCE = re.compile(r"tim(ed?|ing)[ -]?out|timeout", re.IGNORECASE)
BROKEN = re.compile(r"gloo|NCCL|connection (closed|reset)|broken pipe|TCPStore|pair closure", re.IGNORECASE)
"""What torch says in errors without a type of their own, where another process no longer answers."""
ADVICE = "the same command resumes from the last checkpoint"
_CHILDREN: list["subprocess.Popen[bytes]"] = []
"""The ranks that this process has started, from 1 on."""
RANK_ZERO = "CLOZE_RANK_ZERO"
"""Tells a rank which process has started it. Its parent may be another by now: whoever takes in orphans."""
_LAST_WORD = threading.Lock()
"""Held by the thread that ends this process: one sentence is enough."""


class Launcher(_SubprocessScriptLauncher):
    """Starts the other ranks of this machine where the command has to do that, and watches over all of them.

    Lightning's own kills itself where a rank has died, without a word.

    Args:
        cluster_environment: knows whether the ranks have been started already.
        num_processes: on this machine.
        num_nodes: machines.
        timeout: seconds that a process waits for the others.
    """

    def __init__(
        self, cluster_environment: ClusterEnvironment, num_processes: int, num_nodes: int, *, timeout: float
    ) -> None:
        super().__init__(cluster_environment, num_processes, num_nodes)
        self.timeout = timeout

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Call the function with all ranks there.

        Raises:
            Lost: another rank has died or does not answer.
        """
        environment = self.cluster_environment
        environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not environment.creates_processes_externally:
            os.environ[RANK_ZERO] = str(os.getpid())
            self._call_children_scripts()
            _CHILDREN[:] = self.procs
            atexit.register(join_ranks)
        with _watching(environment, self.timeout):
            return function(*args, **kwargs)


def join_ranks() -> None:
    """Wait for the ranks that this process started; end those that do not end themselves."""
    end = time.monotonic() + GRACE
    for child in _CHILDREN:
        try:
            child.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _CHILDREN.clear()


@contextmanager
def _watching(environment: ClusterEnvironment, timeout: float) -> Iterator[None]:
    rank, over = environment.global_rank(), threading.Event()
    if _CHILDREN:
        threading.Thread(target=_watch_children, args=(over,), daemon=True).start()
    elif _is_started_by_us(environment):
        threading.Thread(target=_watch_parent, args=(over, _rank_zero(), rank), daemon=True).start()
    try:
        yield
    except BaseException as error:
        if not _is_lost(error):
            _end_children(stop_request.number or signal.SIGTERM)
            raise
        if not _LAST_WORD.acquire(blocking=False):
            time.sleep(GRACE)  # another thread is ending this process
        threading.Thread(target=_end_anyway, daemon=True).start()
        raise _what_happened(error, rank, timeout, _is_started_by_us(environment)) from None
    finally:
        over.set()


def _is_started_by_us(environment: ClusterEnvironment) -> bool:
    """Whether this rank's parent is rank zero of the machine."""
    return type(environment).__name__ == "LightningEnvironment" and environment.local_rank() > 0


def _is_lost(error: BaseException) -> bool:
    """Whether an error says that another process does not answer."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and BROKEN.search(str(error)) is not None


def _what_happened(error: BaseException, rank: int, timeout: float, has_parent: bool) -> BaseException:
    """The exception that says it best."""
    silent = SILENCE.search(str(error)) is not None
    number, child = _ended_child(0.5 if silent else GRACE / 2)
    if child is not None and child.returncode - SIGNALLED in STOPS:
        stop_request.number = stop_request.number or child.returncode - SIGNALLED
    if stop_request.number:
        _end_children(stop_request.number)
        return stop_request.stop(
            SIGNALLED + stop_request.number, "stopped; the same command resumes from the last checkpoint"
        )
    if child is not None:
        sentence, status = _ending(number, child)
    elif stopped := _stopped_child():
        sentence, status = f"rank {stopped[0]} (process {stopped[1]}) stands still", TRY_AGAIN
    elif silent:
        sentence, status = f"another process has not answered rank {rank} for {timeout:g} s", TRY_AGAIN
    else:
        sentence, status = f"another process, with which rank {rank} worked, has died", TRY_AGAIN
    if has_parent:
        sentence = _end_parent(sentence)
    _end_children(signal.SIGKILL)
    return Lost(status, f"error: {sentence}; {ADVICE}")


def _ending(number: int, child: "subprocess.Popen[bytes]") -> tuple[str, int]:
    """How a rank has ended, and the exit status that follows."""
    name, status = f"rank {number} (process {child.pid})", child.returncode
    if status < 0:
        return f"{name} was killed by {signal.Signals(-status).name}", TRY_AGAIN
    return f"{name} has ended with status {status}", status


def _ended_child(seconds: float) -> tuple[int, "subprocess.Popen[bytes] | None"]:
    """The first rank that has ended badly, waiting a little for one."""
    end = time.monotonic() + seconds
    while _CHILDREN:
        for number, child in enumerate(_CHILDREN, 1):
            if child.poll():
                return number, child
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return 0, None


def _stopped_child() -> tuple[int, int] | None:
    """The rank and the process id of one that was stopped from outside, as far as the system tells."""
    for number, child in enumerate(_CHILDREN, 1):
        try:
            state = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state in "Tt":
            return number, child.pid
    return None


def _rank_zero() -> int:
    """The process id of the rank zero that has started this one."""
    return int(os.environ.get(RANK_ZERO, os.getppid()))


def _end_parent(sentence: str) -> str:
    """What a started rank does when the others are gone: rank zero ends it, has ended, or hangs and is ended."""
    parent, end = _rank_zero(), time.monotonic() + GRACE
    while time.monotonic() < end and os.getppid() == parent:
        time.sleep(0.2)
    if os.getppid() != parent:
        return "rank 0 has died"
    os.kill(parent, signal.SIGKILL)
    return f"{sentence}; rank 0 (process {parent}) did not end and was killed"


def _end_children(number: int) -> None:
    """Tell the started ranks to end as this one does; who does not is killed."""
    for child in _CHILDREN:
        if child.poll() is None:
            child.send_signal(number)
    join_ranks()


def _watch_children(over: threading.Event) -> None:
    """In rank zero: a rank that has died would otherwise be noticed when the others have waited for it long enough."""
    while not over.wait(1.0):
        number, child = _ended_child(0.0)
        if child is None:
            continue
        if child.returncode - SIGNALLED in STOPS:  # the signal came before it could pass it on
            os.kill(os.getpid(), child.returncode - SIGNALLED)
        if over.wait(GRACE) or not _LAST_WORD.acquire(blocking=False):
            return
        if stop_request.number:
            status = SIGNALLED + stop_request.number
        else:
            sentence, status = _ending(number, child)
            print(f"error: {sentence}; {ADVICE}", file=sys.stderr, flush=True)
        _end_children(signal.SIGKILL)
        os._exit(status)


def _watch_parent(over: threading.Event, parent: int, rank: int) -> None:
    """In a started rank: nobody else would end it when rank zero has died."""
    while not over.wait(1.0):
        if os.getppid() == parent:
            continue
        if over.wait(GRACE / 2) or not _LAST_WORD.acquire(blocking=False):
            return
        print(f"error: rank 0 (process {parent}) has died, so rank {rank} ends; {ADVICE}", file=sys.stderr, flush=True)
        os._exit(TRY_AGAIN)


def _end_anyway() -> None:
    """A device may wait for ever for those that are lost."""
    time.sleep(3 * GRACE)
    os._exit(TRY_AGAIN)
