"""Walks: the global batches of the whole training in their order, from any place on.

A walk is a pure function of the place and of the number of global batches behind it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cloze.data.pretraining.dataset import Budgets, Index, Order, Span, Window, Windows
from cloze.data.pretraining.phases import Course
from cloze.data.pretraining.plan import Plan
from cloze.errors import InputError

Place = Any
"""Where a walk stands; what it consists of is the walk's own matter."""


class Position(NamedTuple):
    """A global batch: which epoch, which of its windows of shuffled shards, which of the window's batches."""

    epoch: int
    window: int
    batch: int


class Walk(ABC):
    """Names global batches one after the other.

    Attributes:
        order: of the sequences; where corpora are mixed, of the first.
        course: where the phases begin and end.
        own_positions: of each phase, whether its objective follows the position in the phase, not that in training.
        beginning: of training.
    """

    beginning: Place

    def __init__(self, order: Order[Any], course: Course, own_positions: tuple[bool, ...] = ()) -> None:
        self.order, self.course = order, course
        self.own_positions = own_positions or (False,) * len(order.objectives)

    @abstractmethod
    def batches(self, place: Place, done: int) -> Iterator[tuple[Index, Place]]:
        """Each global batch, and the place behind it.

        Args:
            place: of the first.
            done: global batches behind it.
        """

    @abstractmethod
    def state_of(self, place: Place) -> dict[str, int]:
        """A place by names, for a checkpoint."""

    @abstractmethod
    def place_in(self, state: Mapping[str, int]) -> Place:
        """The place that ``state_of`` has named."""

    def index(self, done: int, spans: tuple[Span, ...]) -> Index:
        """The name of a global batch after so many."""
        phase = self.course.phase(done)
        own = self.own_positions[phase]
        position = self.course.share_of_phase(done) if own else self.course.share(done)
        return Index(phase, spans, 0, position, self.size(done))

    def size(self, done: int) -> int:
        """Of the global batch after so many, in the unit of its phase."""
        size = self.order.sizes[self.course.phase(done)]
        return size.first if size.final is None else size.at(self.course.share_of_phase(done))

    def ended(self, done: int) -> bool:
        """Whether training is over."""
        return self.course.total is not None and done >= self.course.total

    def breaks(self, before: int, after: int) -> bool:
        """Whether the second of two phases has other sequences, or counts them otherwise: another epoch begins then."""
        return before != after and self._kind(before) != self._kind(after)

    def _kind(self, phase: int) -> tuple[Any, ...]:
        objective = self.order.objectives[phase]
        by_sequences = self.order.sizes[phase].sequences is not None
        return objective.pairs, objective.max_length, objective.short_sequence_rate, by_sequences


class CorpusWalk(Walk):
    """Over one corpus: epochs, their windows of shards, the batches of each window."""

    beginning = Position(0, 0, 0)

    def __init__(self, windows: Windows[Any], course: Course, own_positions: tuple[bool, ...] = ()) -> None:
        super().__init__(windows.order, course, own_positions)
        self.windows = windows
        sizes = self.order.sizes
        self._varies = any(size.final is not None for size in sizes) or any(
            sizes[phase] != sizes[phase - 1] and not self.breaks(phase - 1, phase) for phase in range(1, len(sizes))
        )

    def batches(self, place: Place, done: int) -> Iterator[tuple[Index, Place]]:
        """See ``Walk``."""
        epoch, start, batch = place
        while not self.ended(done):
            phase, found = self.course.phase(done), 0
            for number, window in self._windows(epoch, start):
                plan = self._plan(phase, epoch, window, done - batch)
                found += plan.num_batches
                while batch < plan.num_batches and not self.ended(done):
                    span = Span(0, epoch, window, int(plan.batches[batch]), int(plan.batches[batch + 1]))
                    batch, done = batch + 1, done + 1
                    broken = self.breaks(phase, self.course.phase(done))
                    following = Position(epoch + 1, 0, 0) if broken else Position(epoch, number, batch)
                    yield self.index(done - 1, (span,)), following
                    if broken:
                        break
                else:
                    batch = 0
                    continue
                break  # the next phase begins the next epoch
            if start == 0 and found == 0:
                raise RuntimeError("the corpus has no batch: its training shards are empty")
            epoch, start, batch = epoch + 1, 0, 0

    def _windows(self, epoch: int, start: int) -> Iterator[tuple[int, Window]]:
        """Those of an epoch with their numbers, while the next one is fetched."""
        windows = self.order.windows(epoch)
        for number, window in enumerate(windows[start:], start):
            following = windows[number + 1] if number + 1 < len(windows) else self.order.windows(epoch + 1)[0]
            self.windows.fetch_ahead(following)
            yield number, window

    def _plan(self, phase: int, epoch: int, window: Window, first: int) -> Plan:
        """Of a window before whose first batch training has been on so many."""
        if not self._varies:
            return self.windows.plan(phase, epoch, window)[1]
        budgets: Budgets = lambda batch: self.size(first + batch)  # noqa: E731 - it has a type
        return self.windows.plan(phase, epoch, window, budgets, first)[1]

    def state_of(self, place: Place) -> dict[str, int]:
        """Three integers."""
        return Position(*place)._asdict()

    def place_in(self, state: Mapping[str, int]) -> Place:
        """See ``Walk``.

        Raises:
            InputError: it is of a version that read shard by shard, and shards are shuffled together.
        """
        if "shard" in state and self.order.shuffle_shards > 1:
            raise InputError(
                "the checkpoint is of an earlier version, which read one shard after the other: start a new run, "
                "with resume=CHECKPOINT data.shuffle_shards=1"
            )
        return Position(state["epoch"], state["shard"] if "shard" in state else state["window"], state["batch"])
