"""The learning rate where phases of training say it: from one value to another in each of them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cloze.optim.schedules import SHAPES, Schedule


class RateChange(NamedTuple):
    """What a phase says of the learning rate; without both ends it keeps what it finds.

    Attributes:
        begin: optimizer steps before it.
        end: and behind its last one.
        first: the learning rate at its beginning; None for that at the end of the phase before.
        last: at its end; None for the same all along.
        shape: of the way between, see `cloze.optim.decay`.
    """

    begin: int
    end: int
    first: float | None
    last: float | None
    shape: str = "linear"


class _Way(NamedTuple):
    begin: int
    end: int
    first: float
    last: float
    shape: str

    def at(self, position: float) -> float:
        """A rise has its last value at its last step, as a warm-up; a decay has its first one at its first step."""
        steps = position - self.begin + (self.last > self.first)
        progress = min(1.0, max(0.0, steps / max(1, self.end - self.begin)))
        return self.last + (self.first - self.last) * SHAPES[self.shape](progress)


@dataclass(frozen=True)
class Phased:
    """A schedule up to the first phase that says a learning rate; from there on what phases say.

    Attributes:
        schedule: the multiplier of the peak as long as no phase has said a learning rate.
        ways: of the phases from the first one on that says it.
    """

    schedule: Schedule
    ways: tuple[_Way, ...]

    @classmethod
    def of(cls, schedule: Schedule, changes: Sequence[RateChange], peak: float) -> "Phased":
        """From what phases say.

        Args:
            schedule: that of the configuration.
            changes: of every phase, in their order.
            peak: the learning rate of which a schedule gives the multiplier.
        """
        ways: list[_Way] = []
        length = float(changes[-1].end)
        for change in changes:
            if not ways and change.first is None and change.last is None:
                continue
            before = ways[-1].last if ways else schedule(float(change.begin), length)
            first = before if change.first is None else change.first / peak
            last = first if change.last is None else change.last / peak
            ways.append(_Way(change.begin, change.end, first, last, change.shape))
        return cls(schedule, tuple(ways))

    def __call__(self, position: float, length: float) -> float:
        number = bisect_right([way.begin for way in self.ways], position) - 1
        return self.schedule(position, length) if number < 0 else self.ways[number].at(position)
