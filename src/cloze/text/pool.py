"""Worker processes that never outlive or block the process that started them."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Protocol, Self, TypeVar

import pyarrow as pa

from cloze.errors import InputError
from cloze.files.remote import Location


class WorkerKilledError(InputError):
    """Workers died or cannot be reached; what was finished is good, and another call resumes from it."""


Task = TypeVar("Task")
Result = TypeVar("Result")


class Pool(Protocol):
    """Workers for the time of a ``with`` block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results of the tasks, in any order, with a bounded number of tasks in flight."""


class Engine(Protocol):
    """Where the work of a preparation is done. Never changes what is written."""

    def pool(self, workers: int, folder: Location) -> Pool:
        """Workers that leave their files in `folder`."""


def default_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """`engine=local`: processes of this machine."""

    def pool(self, workers: int, folder: Location) -> "WorkerPool":
        return WorkerPool(workers)


class WorkerPool:
    """`workers` processes, each with one thread of work; with 0 the calling process does the work itself.

    The workers hold the reading end of a pipe whose writing end only the caller has. When it closes, by an error, by
    Ctrl-C or because the caller was killed, they end at once; tasks must therefore leave only whole files.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._workers:
            context = get_context("spawn")  # forking a process with threads (torch, tokenizers, Arrow) may deadlock
            self._lifeline, self._heartbeat = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_start_worker, initargs=(self._lifeline,)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            if error is not None:
                self._heartbeat.close()
            self._pool.shutdown(cancel_futures=True)
            self._heartbeat.close()
            self._lifeline.close()

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results in the order of the tasks; a bounded number of them waits to be read.

        Raises:
            InputError: what a task raised.
            WorkerKilledError: a worker was killed.
        """
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(function, task))
                if len(waiting) > 3 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerKilledError(
                "a worker process was killed, most often because memory ran out; run the same command again with "
                "fewer workers, finished work is kept"
            ) from error


def _start_worker(lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os._exit(1)
