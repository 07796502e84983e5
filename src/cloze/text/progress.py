"""Progress of a preparation: a bar on a terminal, a quiet line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

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
