"""A word on the terminal while something of unknown length goes on."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0
"""Seconds after which one wants to know. What is over sooner shows nothing, and costs no import."""

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show what goes on, with a spinner, until it is over; it leaves no trace.

    Only where stderr is a terminal, and only in the first of several processes that share it.

    Args:
        what: goes on, as `reading the model`.
    """
    if not sys.stderr.isatty() or any(os.environ.get(name, "0") != "0" for name in RANKS):
        yield
        return
    spinner = _Spinner(what)
    timer = threading.Timer(PATIENCE, spinner.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        spinner.stop()


class _Spinner:
    """Started in one thread, stopped in another, whichever comes first."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._lock = threading.Lock()
        self._over = False
        self._status: Any = None

    def start(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._over:
                self._status = Console(stderr=True).status(f"{self.what} ...")
                self._status.start()

    def stop(self) -> None:
        with self._lock:
            self._over = True
            if self._status is not None:
                self._status.stop()
