"""A spinner on the terminal during work of unknown length."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloze.runtime.shell import rank

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 1.0
"""Seconds after which one wants to know. What is over sooner shows nothing, and costs no import."""


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show what is being done, with a spinner, until it is over; it leaves no trace.

    Only where stderr is a terminal, and only in the first of several processes that share it.

    Args:
        what: is being done, as `reading the model`.
    """
    if not sys.stderr.isatty() or rank() != 0:
        yield
        return
    word = _Word(what)
    timer = threading.Timer(PATIENCE, word.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        word.stop()


def spinner() -> "Progress":
    """For stderr: what is being done, after a spinner. Its one task is that; it vanishes when it stops."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description} ...", markup=False)
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())


class _Word:
    """Started in one thread, stopped in another, whichever comes first."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._lock = threading.Lock()
        self._over = False
        self._shown: Progress | None = None

    def start(self) -> None:
        with self._lock:
            if not self._over:
                self._shown = spinner()
                self._shown.add_task(self.what)
                self._shown.start()

    def stop(self) -> None:
        with self._lock:
            self._over = True
            if self._shown is not None:
                self._shown.stop()
