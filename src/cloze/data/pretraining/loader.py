"""Loaders: yield the indices of micro-batches in order and let ``MicroBatches`` build them, here or in workers.

Nothing but a position in that order is state, so a run resumes exactly where it stopped, on any number of ranks and
workers.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Any, Generic

import torch
from torch.utils.data import DataLoader, Dataset

from cloze.batch import on_device
from cloze.data.pretraining.dataset import Index, MicroBatches, Span
from cloze.data.pretraining.objective import B
from cloze.data.pretraining.phases import Course
from cloze.data.pretraining.walk import CorpusWalk, Place, Walk
from cloze.errors import InputError
from cloze.runtime.stopping import SIGNALLED, stop_request

ENDLESS = 2**40
"""The length of a loader for a run of unknown length. It must have one: Lightning reads a batch ahead of a loader
without length, and the saved state with it."""


class TrainingLoader(Generic[B]):
    """Yields the micro-batches of a rank, along a walk over the global batches of the whole training.

    The place of the next global batch to be trained on is the loader's whole state. Iterating again resumes there.
    Phases, and what the objective makes of the position of training, follow from the number of global batches trained
    on so far.
    """

    def __init__(
        self,
        data: MicroBatches[B],
        *,
        walk: Walk | None = None,
        rank: int = 0,
        ranks: int = 1,
        batches_done: Callable[[], int] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Walk over global batches.

        Args:
            data: makes the micro-batches; it splits each global batch into a multiple of ``ranks``.
            walk: names the global batches; by default those of ``data.order``, without end.
            rank: this process gets the micro-batches ``rank``, ``rank + ranks``, ...
            ranks: number of processes.
            batches_done: asked when an iteration begins: on how many global batches training has been. By default
                those that this loader has delivered.
            num_workers: processes that make batches; 0 for this one.
            pin_memory: put batches into page-locked memory.
            device: bring them to this one, if it is a GPU, while it is at work.
        """
        self.data = data
        self.walk = walk or CorpusWalk(data.parts[0], Course())
        self.rank, self.ranks = rank, ranks
        self.num_workers, self.pin_memory, self.device = num_workers, pin_memory, device
        self.position = self.walk.beginning
        self._batches_done = batches_done
        self._delivered = 0  # global batches
        self._within = False  # between two micro-batches of one global batch

    @property
    def accumulation(self) -> int:
        """Micro-batches of a rank in each global batch."""
        return self.data.micro_batches // self.ranks

    def __len__(self) -> int:
        """Micro-batches of this rank in the whole training."""
        total = self.walk.course.total
        return ENDLESS if total is None else total * self.accumulation

    def __iter__(self) -> Iterator[B]:
        if self._batches_done is not None:
            self._delivered = self._batches_done()
        if self._delivered and self.position == self.walk.beginning:
            raise RuntimeError(
                f"training has been on {self._delivered} global batches, but the loader stands at the beginning: "
                "its state was not restored from the checkpoint"
            )
        self._within = False
        named: deque[tuple[Index, Place]] = deque()  # by the sampler, which runs ahead of the workers
        batches = _load(self.data, self._indices(named), self.num_workers, self.pin_memory)
        for batch in on_device(batches, self.device):
            index, following = named.popleft()
            self._within = index.micro_batch + self.ranks < self.data.micro_batches
            if not self._within:
                self.position = following
                self._delivered += 1
            yield batch

    def _indices(self, named: deque[tuple[Index, Place]]) -> Iterator[Index]:
        for whole, following in self.walk.batches(self.position, self._delivered):
            for micro_batch in range(self.rank, self.data.micro_batches, self.ranks):
                index = whole._replace(micro_batch=micro_batch)
                named.append((index, following))
                yield index

    def state_dict(self) -> dict[str, int]:
        """The place: a few integers.

        Raises:
            RuntimeError: between the micro-batches of one global batch, where a checkpoint would lose the gradients
                accumulated so far.
        """
        if self._within:
            raise RuntimeError("a checkpoint can be saved only after the last micro-batch of a global batch")
        return self.walk.state_of(self.position)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a place.

        Raises:
            InputError: it is of a version that read shard by shard, and shards are shuffled together.
        """
        self.position = self.walk.place_in(state)
        self._within = False


class HeldoutLoader(Generic[B]):
    """The same micro-batches in the same order at every evaluation."""

    def __init__(
        self,
        data: MicroBatches[B],
        *,
        rank: int = 0,
        ranks: int = 1,
        max_tokens: int | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Walk once over the global batches of ``data.order``, which are split into one micro-batch a rank.

        Args:
            data: makes the micro-batches.
            rank: of this process.
            ranks: number of processes.
            max_tokens: stop after the batch that reaches this many tokens.
            num_workers: processes that make batches; 0 for this one.
            pin_memory: put batches into page-locked memory.
            device: bring them to this one, if it is a GPU, while it is at work.
        """
        self.data = data
        self.rank, self.ranks = rank, ranks
        self.num_workers, self.pin_memory, self.device = num_workers, pin_memory, device
        self._batches = list(self._within(max_tokens))

    def _within(self, max_tokens: int | None) -> Iterator[Span]:
        tokens = 0
        for window in self.data.order.windows(0):
            _, plan = self.data.parts[0].plan(0, 0, window)
            for begin, end in pairwise(plan.batches.tolist()):
                if max_tokens is not None and tokens >= max_tokens:
                    return
                tokens += int(plan.lengths[begin:end].sum())
                yield Span(0, 0, window, begin, end)

    def __len__(self) -> int:
        """Micro-batches of each rank."""
        return len(self._batches) * (self.data.micro_batches // self.ranks)

    def __iter__(self) -> Iterator[B]:
        indices = (
            Index(0, (span,), micro_batch, 0.0, self.data.order.sizes[0].first)
            for span in self._batches
            for micro_batch in range(self.rank, self.data.micro_batches, self.ranks)
        )
        return on_device(_load(self.data, indices, self.num_workers, self.pin_memory), self.device)


def _load(data: MicroBatches[B], indices: Iterable[Index], num_workers: int, pin_memory: bool) -> Iterator[B]:
    loader = DataLoader(
        _Told(data),
        batch_size=None,
        sampler=indices,
        collate_fn=_unchanged,
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=_stand_alone if num_workers else None,
        generator=torch.Generator(),  # the workers' base seed must not draw from the global one
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


class _Told(Dataset[B | InputError], Generic[B]):
    """Hands an error over as a value: raised in a worker, torch would wrap its traceback around the sentence."""

    def __init__(self, data: MicroBatches[B]) -> None:
        self.data = data

    def __getitem__(self, index: Index) -> B | InputError:
        try:
            return self.data[index]
        except InputError as error:
            return error


@contextmanager
def telling_of_dead_workers() -> Iterator[None]:
    """One sentence where a worker process of a loader died; torch raises its error wherever training stands.

    Raises:
        InputError: a worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if stop_request.number:  # the signal came before they could leave the group
            raise stop_request.stop(SIGNALLED + stop_request.number, "stopped; the same command resumes") from None
        if match := re.match(r"DataLoader worker \(pid\(?s?\)? ?([\d, ]+)\) (.*)", str(error)):
            raise InputError(
                f"process {match[1]}, which made batches, has died ({match[2].splitlines()[0].strip(' .')}), most "
                "often because memory ran out; take fewer hardware.workers, and the same command resumes from the last "
                "checkpoint"
            ) from error
        raise


def _stand_alone(_: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach the whole group; training continues for a step, and needs its batches."""
    os.setpgid(0, 0)
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """What a worker's threads could not do, except to hand a batch to a training that has ended meanwhile."""
    if not isinstance(error, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, traceback)


def _unchanged(batch: Any) -> Any:
    return batch
