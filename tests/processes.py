"""Processes that tests start: none outlives its test, and none keeps a test waiting for ever.

What a process leaves behind is adopted by the one that runs the tests, instead of by the system's first process; so at
the end of a test all that it has started is among the children, and is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from random import SystemRandom
from socket import socket
from typing import Any

import psutil
import pytest

SECONDS = 540.0
"""What a command may take in a test, on a machine that does a lot besides; less than the test, which then can tell."""
FIRST_PORT, PORTS = 15_000, 1_000
"""Of each process that runs tests; the system hands out none below 32,768 by itself, so nobody else gets one."""
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>
_SERVERS: set[int] = set()


def adopt_orphans() -> None:
    """From now on, processes whose parent has died become children of this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def as_from_a_shell() -> None:
    """Take back what a parent without a terminal may have left us: signals that are ignored or held back."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def children(pid: int | None = None) -> set[int]:
    """Of a process, or of this one; those that have ended and were not asked for their status are among them."""
    found: set[int] = set()
    try:
        for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            with suppress(OSError):
                found |= set(map(int, (thread / "children").read_text().split()))
        return found
    except OSError:  # no such process, or no Linux
        with suppress(psutil.NoSuchProcess):
            found = {child.pid for child in psutil.Process(pid).children()}
        return found


def family(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def own_children() -> set[int]:
    """Those that a test has to end: without servers for all tests, and without the helpers of Python itself."""
    helpers = (resource_tracker._resource_tracker, "_pid"), (forkserver._forkserver, "_forkserver_pid")
    return children() - _SERVERS - {getattr(helper, name, None) for helper, name in helpers}


def end_all(pids: Callable[[], set[int]], *, seconds: float = 30) -> None:
    """Kill and bury children of this process until there are none; those of the dead become ours one by one."""
    deadline = time.monotonic() + seconds
    while (found := pids()) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with suppress(ChildProcessError):
                while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
                    time.sleep(0.005)


def start(command: Sequence[str | Path], *, serves: bool = False, **options: Any) -> "subprocess.Popen[Any]":
    """Start a process; whoever does so ends it by `end`. With nothing to read, unless its input is given.

    Args:
        command: its words.
        serves: it is for several tests, and outlives the one that starts it.
        options: of `subprocess.Popen`.
    """
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen([str(word) for word in command], **options)
    if serves:
        _SERVERS.add(process.pid)
    return process


def run(
    command: Sequence[str | Path], *, seconds: float = SECONDS, check: bool = False, **options: Any
) -> "subprocess.CompletedProcess[Any]":
    """Run a process to its end; as `subprocess.run`, and what it says is kept as text.

    Args:
        command: its words.
        seconds: after which it is killed, and the test fails.
        check: the test fails where it does not end well.
        options: of `subprocess.run`.
    """
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    options = {"capture_output": True, "text": True, **options}
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, timeout=seconds, check=False, **options)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{words} did not end within {seconds:g} s, and said {error.output!r} {error.stderr!r}")
    if check and done.returncode:
        pytest.fail(f"{words} ended with status {done.returncode}: {done.stderr}")
    return done


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process with all below it, whatever state it is in, and close its pipes."""
    _kill(process)
    process.wait(timeout=60)
    _SERVERS.discard(process.pid)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):  # what was written to a dead process
                stream.close()


def _kill(process: "subprocess.Popen[Any]") -> None:
    """With all below it, unless it is over: its number may be another's by now."""
    if process.poll() is None:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def limited(process: "subprocess.Popen[Any]", seconds: float) -> Iterator[None]:
    """Kill a process that takes longer, so that whoever reads from it comes to an end."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def started(
    command: Sequence[str | Path], *, seconds: float = SECONDS, **options: Any
) -> "Iterator[subprocess.Popen[Any]]":
    """A process that ends with the block at the latest, and after this many seconds in any case."""
    process = start(command, **options)
    try:
        with limited(process, seconds):
            yield process
    finally:
        end(process)


def wait_until(
    condition: Callable[[], object],
    process: "subprocess.Popen[Any] | None" = None,
    *,
    seconds: float = SECONDS,
    pause: float = 0.05,
) -> None:
    """Until something holds. The test fails where that takes too long, or the process has ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        is_over = process is not None and process.poll() is not None
        if is_over and condition():
            return
        if is_over or time.monotonic() > deadline:
            pytest.fail(f"in vain; {_last_words(process) if process else ''}")
        time.sleep(pause)


def _last_words(process: "subprocess.Popen[Any]") -> str:
    """What it said; those whom it has started may hold its pipes."""
    status = process.poll()
    _kill(process)
    try:
        return f"status {status}: {process.communicate(timeout=10)}"
    except subprocess.TimeoutExpired as error:
        return f"status {status}: {error.output!r} {error.stderr!r}"


def free_port() -> int:
    """One that nobody listens on, of a range that is this process's own: two that run tests never meet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for offset in SystemRandom().sample(range(PORTS), PORTS):
        port = FIRST_PORT + PORTS * (worker % 16) + offset
        with socket() as server:
            try:
                server.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports are taken")
