"""Loaders: yield the indices of micro-batches in order and let ``MicroBatches`` build them, here or in workers.

Nothing but a position in that order is state, so a run resumes exactly where it stopped, on any number of ranks and
workers.
"""

import os
import re
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from cloze.batch import on_device
from cloze.data.pretraining.dataset import Index, MicroBatches, Window
from cloze.data.pretraining.objective import B
from cloze.errors import InputError
from cloze.runtime.stopping import SIGNALLED, stop_request

ENDLESS = 2**40
"""The length of a loader for a run of unknown length. It must have one: Lightning reads a batch ahead of a loader
without length, and the saved state with it."""


class Position(NamedTuple):
    """A global batch: which epoch, which of its windows of shuffled shards, which of the window's batches."""

    epoch: int
    window: int
    batch: int


class TrainingLoader(Generic[B]):
    """Iterates without end over epochs, windows of shards and global batches, and yields the micro-batches of a rank.

    The position is that of the next global batch to be trained on, and the loader's whole state. Iterating again
    resumes there. Phases, and what the objective makes of the position of training, follow from the number of global
    batches trained on so far.
    """

    def __init__(
        self,
        data: MicroBatches[B],
        *,
        rank: int = 0,
        ranks: int = 1,
        training_batches: int | None = None,
        phase_ends: tuple[int, ...] = (),
        batches_done: Callable[[], int] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Walk over the global batches of ``data.order``.

        Args:
            data: makes the micro-batches; it splits each global batch into a multiple of ``ranks``.
            rank: this process gets the micro-batches ``rank``, ``rank + ranks``, ...
            ranks: number of processes.
            training_batches: global batches of the whole training, after which the iteration ends; None for no end.
            phase_ends: for each phase but the last, the number of global batches after which it ends.
            batches_done: asked when an iteration begins: on how many global batches training has been. By default
                those that this loader has delivered.
            num_workers: processes that make batches; 0 for this one.
            pin_memory: put batches into page-locked memory.
            device: bring them to this one, if it is a GPU, while it is at work.
        """
        self.data = data
        self.rank, self.ranks = rank, ranks
        self.training_batches = training_batches
        self.phase_ends = phase_ends
        self.num_workers, self.pin_memory, self.device = num_workers, pin_memory, device
        self.position = Position(0, 0, 0)
        self._batches_done = batches_done
        self._delivered = 0  # global batches
        self._within = False  # between two micro-batches of one global batch

    @property
    def accumulation(self) -> int:
        """Micro-batches of a rank in each global batch."""
        return self.data.micro_batches // self.ranks

    def __len__(self) -> int:
        """Micro-batches of this rank in the whole training."""
        return ENDLESS if self.training_batches is None else self.training_batches * self.accumulation

    def __iter__(self) -> Iterator[B]:
        if self._batches_done is not None:
            self._delivered = self._batches_done()
        if self._delivered and self.position == Position(0, 0, 0):
            raise RuntimeError(
                f"training has been on {self._delivered} global batches, but the loader stands at the beginning: "
                "its state was not restored from the checkpoint"
            )
        self._within = False
        named: deque[tuple[Index, Position]] = deque()  # by the sampler, which runs ahead of the workers
        batches = _load(self.data, self._indices(named), self.num_workers, self.pin_memory)
        for batch in on_device(batches, self.device):
            index, following = named.popleft()
            self._within = index.micro_batch + self.ranks < self.data.micro_batches
            if not self._within:
                self.position = following
                self._delivered += 1
            yield batch

    def _indices(self, named: deque[tuple[Index, Position]]) -> Iterator[Index]:
        for done, phase, position, window in self._walk(self.position, self._delivered):
            share = done / max(self.training_batches - 1, 1) if self.training_batches else 0.0
            # A phase that ends breaks its epoch off: the next phase begins the next one.
            ended = self._phase(done + 1) != phase
            following = Position(position.epoch + 1, 0, 0) if ended else position._replace(batch=position.batch + 1)
            for micro_batch in range(self.rank, self.data.micro_batches, self.ranks):
                index = Index(phase, position.epoch, window, position.batch, micro_batch, share)
                named.append((index, following))
                yield index

    def _walk(self, position: Position, done: int) -> Iterator[tuple[int, int, Position, Window]]:
        """Batches done, phase, position and window of each global batch from a position on."""
        epoch, start, batch = position
        while True:
            phase = self._phase(done)
            batches = 0
            windows = self.data.order.windows(epoch)
            for place, window in enumerate(windows[start:], start):
                number = self.data.num_batches(phase, epoch, window)
                batches += number
                following = windows[place + 1] if place + 1 < len(windows) else self.data.order.windows(epoch + 1)[0]
                self.data.fetch_ahead(following)
                while batch < number and self._phase(done) == phase and not self._ended(done):
                    yield done, phase, Position(epoch, place, batch), window
                    batch, done = batch + 1, done + 1
                if self._phase(done) != phase:
                    break
                if self._ended(done):
                    return
                batch = 0
            if start == 0 and batches == 0:
                raise RuntimeError("the corpus has no batch: its training shards are empty")
            epoch, start, batch = epoch + 1, 0, 0

    def _ended(self, done: int) -> bool:
        return self.training_batches is not None and done >= self.training_batches

    def _phase(self, done: int) -> int:
        return bisect_right(self.phase_ends, done)

    def state_dict(self) -> dict[str, int]:
        """The position: three integers.

        Raises:
            RuntimeError: between the micro-batches of one global batch, where a checkpoint would lose the gradients
                accumulated so far.
        """
        if self._within:
            raise RuntimeError("a checkpoint can be saved only after the last micro-batch of a global batch")
        return self.position._asdict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a position.

        Raises:
            InputError: it is of a version that read shard by shard, and shards are shuffled together.
        """
        if "shard" in state and self.data.order.shuffle_shards > 1:
            raise InputError(
                "the checkpoint is of an earlier version, which read one shard after the other: start a new run, "
                "with resume=CHECKPOINT data.shuffle_shards=1"
            )
        window = state["shard"] if "shard" in state else state["window"]
        self.position = Position(state["epoch"], window, state["batch"])
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

    def _within(self, max_tokens: int | None) -> Iterator[tuple[Window, int]]:
        tokens = 0
        for window in self.data.order.windows(0):
            _, plan = self.data.plan(0, 0, window)
            for batch in range(plan.num_batches):
                if max_tokens is not None and tokens >= max_tokens:
                    return
                tokens += int(plan.lengths[plan.batches[batch] : plan.batches[batch + 1]].sum())
                yield window, batch

    def __len__(self) -> int:
        """Micro-batches of each rank."""
        return len(self._batches) * (self.data.micro_batches // self.ranks)

    def __iter__(self) -> Iterator[B]:
        indices = (
            Index(0, 0, window, batch, micro_batch, 0.0)
            for window, batch in self._batches
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
