"""Requests to stop: Ctrl-C, SIGTERM, or SIGUSR1, the warning of a scheduler before its time limit."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cloze.errors import Stopped

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SIGNALLED = 128
"""And the number of the signal: the exit status that shells have for it."""
PATIENCE = 10.0
"""Seconds from the end's beginning in which further signals change nothing: a group and its launcher tell a process
twice, and users press twice."""
BEGAN = time.monotonic()
"""When this process began, nearly: the clock of its own time limit."""


class StopRequest:
    """Whether this process has been asked to stop.

    A signal raises `Stopped` wherever the process is; while training can save its state it is only noted.

    Attributes:
        number: of the first signal, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._noted_only = False
        self._message = ""
        self._ended: float | None = None
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self, message: str) -> Iterator[None]:
        """Handle the signals.

        Args:
            message: of a process that is stopped before it can save anything.
        """
        if threading.current_thread() is not threading.main_thread() or self._before:
            yield
            return
        self._message = message
        self._before = {number: signal.signal(number, self._handle) for number in STOPS}
        os.register_at_fork(after_in_child=self._forget)
        try:
            yield
        finally:
            for number, handler in self._before.items():  # Python's own end must not be broken off, either
                signal.signal(number, signal.SIG_IGN if self.number else handler)
            self._before = {}

    def note_only(self) -> None:
        """From now on the caller polls `number`."""
        self._noted_only = True

    def raise_at_once(self) -> None:
        """Signals raise again: nobody polls `number` any more."""
        self._noted_only = False

    def stop(self, status: int, message: str) -> Stopped:
        """What to raise; from now on further signals wait."""
        self._ended, self._message = time.monotonic(), message
        return Stopped(status, message)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        if self._noted_only or (self._ended is not None and time.monotonic() - self._ended < PATIENCE):
            return
        raise self.stop(SIGNALLED + self.number, self._message)

    def _forget(self) -> None:
        """In a process that was forked off: it belongs to this one, and ends as any other."""
        for number in self._before:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._before = {}


stop_request = StopRequest()
"""Of this process."""
