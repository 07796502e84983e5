"""Run the steps of a preparation on a dask cluster.

Workers run the functions that `cloze.text.pool.WorkerPool` runs, and leave files; only small records travel. dask is
imported when a cluster is asked for.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from cloze.errors import InputError
from cloze.files.remote import Location, location
from cloze.runtime.distribution import VERSION, installation
from cloze.text.pool import Result, Task, WorkerKilledError

SECONDS_OF_A_LOOK = 2.0
SECONDS_OF_A_RESULT = 10.0  # a small record, of work that is done
SECONDS_TO_END = 60.0


@dataclass(frozen=True, kw_only=True)
class DaskEngine:
    """`engine=dask`: a cluster that runs already.

    Attributes:
        address: of the scheduler, as ``tcp://host:8786``, or the file that ``dask scheduler --scheduler-file`` writes.
        wait_seconds: how long to wait for the scheduler, and for a worker when there is none, before giving up.
    """

    address: str
    wait_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.wait_seconds <= 0:
            raise InputError(f"engine.wait_seconds={self.wait_seconds}: expected a positive number")

    def pool(self, workers: int, folder: Location) -> "DaskPool":
        """All workers of the cluster, however many `workers` a machine has; `folder` is where they leave files."""
        return DaskPool(self, folder)


class DaskPool:
    """The workers of a cluster. One that dies is replaced or done without; its tasks are done again elsewhere."""

    def __init__(self, engine: DaskEngine, folder: Location) -> None:
        self._engine, self._folder = engine, folder
        self._seen = time.monotonic()  # when there was a worker

    def __enter__(self) -> Self:
        try:
            import distributed
        except ImportError as error:
            raise WorkerKilledError(f"engine=dask needs the package distributed: {installation('cluster')}") from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is reported in one sentence
        where, wait = self._engine.address, self._engine.wait_seconds
        given: dict[str, Any] = {"scheduler_file": where} if Path(where).is_file() else {"address": where}
        try:
            self._client = distributed.Client(**given, timeout=wait, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkerKilledError(
                f"engine.address={where}: no dask scheduler answers there within {wait:g} s; start one (dask scheduler)"
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=wait)
            self._check_workers()
        except TimeoutError as error:
            self._client.close()
            raise self._no_worker() from error
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, InputError) and not isinstance(error, WorkerKilledError):
            self._let_end()  # the folder is about to be emptied: nobody may write into it any more
        with suppress(Exception):
            self._client.close(timeout=5)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results as they come; a bounded number of tasks is under way.

        Raises:
            InputError: what a task raised.
            WorkerKilledError: there is no worker any more, or a task ended every worker that it was given to.
        """
        from distributed import wait

        left = iter(tasks)
        self._waiting: set[Any] = set()
        self._seen = time.monotonic()
        while True:
            most = 3 * self._threads()
            while len(self._waiting) < most and (task := next(left, None)) is not None:
                self._waiting.add(self._client.submit(_work, os.getcwd(), function, task, pure=False))  # noqa: PTH109
            if not self._waiting:
                return
            try:
                with self._client.as_current():
                    ended, _ = wait(self._waiting, timeout=SECONDS_OF_A_LOOK, return_when="FIRST_COMPLETED")
            except TimeoutError:
                continue
            self._waiting -= ended
            for future in ended:
                try:
                    result = self._result(future)
                except TimeoutError:  # gone with its worker after it was done: it is done again
                    self._waiting.add(future)
                    continue
                yield result

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise self._gone()
        if future.status == "lost":
            raise TimeoutError
        try:
            return future.result(timeout=SECONDS_OF_A_RESULT)
        except KilledWorker as error:
            raise WorkerKilledError(
                "a task ended every worker of the cluster that it was given to, most often because memory ran out; "
                "run the same command again with more memory a worker, finished work is kept"
            ) from error

    def _threads(self) -> int:
        """Threads of all workers; at least 1.

        Raises:
            WorkerKilledError: the scheduler is gone, or there has been no worker for too long.
        """
        try:
            threads: int = sum(self._client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError, AttributeError) as error:
            raise self._gone() from error
        if threads:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > self._engine.wait_seconds:
            raise self._no_worker()
        return max(threads, 1)

    def _check_workers(self) -> None:
        """Refuses workers that would write other bytes, or elsewhere."""
        plan = str(self._folder / "unfinished" / "plan.json")
        try:
            answers = self._client.run(_introduce, os.getcwd(), plan)  # noqa: PTH109
        except ModuleNotFoundError as error:
            raise WorkerKilledError(
                f"a worker of the cluster is missing a package ({error}); install cloze there"
            ) from error
        for worker, (installed, sees) in sorted(answers.items()):
            if installed != VERSION:
                raise WorkerKilledError(f"{worker} has cloze {installed}, this is {VERSION}; install the same")
            if not sees:
                raise WorkerKilledError(
                    f"{worker} does not see {self._folder}; give a folder of a file system that all workers share, "
                    "or of an object store, as corpus.prepared="
                )

    def _let_end(self) -> None:
        until = time.monotonic() + SECONDS_TO_END
        with suppress(Exception):
            self._client.cancel(list(self._waiting), force=True)
            while any(self._client.run(_running).values()) and time.monotonic() < until:
                time.sleep(0.1)

    def _gone(self) -> WorkerKilledError:
        return WorkerKilledError(
            f"engine.address={self._engine.address}: the scheduler of the cluster is gone; start it and run the same "
            "command again, finished work is kept"
        )

    def _no_worker(self) -> WorkerKilledError:
        return WorkerKilledError(
            f"engine.address={self._engine.address}: the cluster has had no worker for "
            f"{self._engine.wait_seconds:g} s; start some (dask worker) and run the same command again, "
            "finished work is kept"
        )


def _at_home(folder: str) -> None:
    """As `WorkerPool` has it: paths are those of the caller, and a worker is one thread of work."""
    if Path(folder).is_dir():
        os.chdir(folder)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(1)


def _work(folder: str, function: Callable[[Task], Result], task: Task) -> Result:
    _at_home(folder)
    return function(task)


def _introduce(folder: str, plan: str) -> tuple[str, bool]:
    _at_home(folder)
    return VERSION, location(plan).exists()


def _running(dask_worker: Any) -> int:
    return len(dask_worker.state.executing)
