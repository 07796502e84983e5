"""Progress of text processing: a bar or count on a terminal, occasional lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cloze.runtime.wording import counted

SECONDS_BETWEEN_LINES = 10.0


class ReportsProgress(Protocol):
    def __call__(self, step: str, done: int, total: int) -> None:
        """Says that `done` of `total` tasks of `step` are done; 0 when the step begins."""


def silent(step: str, done: int, total: int) -> None:
    """No progress."""


class ConsoleProgress:
    """Shows progress on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # else what is for a file would go to the terminal
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and (done == total or now - self._last_line >= SECONDS_BETWEEN_LINES):
            self._last_line = now
            self._console.print(f"{step}: {done} of {total}", highlight=False, soft_wrap=True)


class LiveCount:
    """What is done so far, and how much a second; live on a terminal, without a trace at the end. Elsewhere nothing.

    Args:
        shown: not where the results themselves go to the terminal.
    """

    def __init__(self, *, shown: bool = True) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._began = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, **done: int) -> None:
        """Show counts by their units, as ``rows=7``; the last one with its rate since the first call."""
        unit, count = list(done.items())[-1]
        if self._first is None:  # what a run that was stopped has left
            self._began, self._first = time.monotonic(), count
        seconds = time.monotonic() - self._began
        counts = ", ".join(counted(number, name) for name, number in done.items())
        rate = f", {(count - self._first) / seconds:,.0f} {unit} a second" if count > self._first and seconds else ""
        self._bar.update(self._task, description=counts + rate)
