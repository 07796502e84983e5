"""Mixtures: global batches from several prepared corpora, each with its share of the tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cloze.data.pretraining.dataset import Index, Span, Window, Windows
from cloze.data.pretraining.phases import Course
from cloze.data.pretraining.walk import Place, Walk
from cloze.data.splitmix import IntArray
from cloze.errors import InputError
from cloze.runtime.compiled import compiled

FULL = -1


class PartPlace(NamedTuple):
    """Where the walk stands in one of the corpora.

    Attributes:
        epoch: of that corpus.
        window: of its epoch.
        sequence: of the window's plan, the next to be taken.
        taken: tokens from it in this phase.
    """

    epoch: int
    window: int
    sequence: int
    taken: int


class _Settled(NamedTuple):
    """A place, the shards of its window, and the lengths of the sequences from there on; none of a corpus not read."""

    place: PartPlace
    window: Window = ()
    lengths: IntArray = np.empty(0, np.int64)


class MixtureWalk(Walk):
    """Over several corpora, of which each sequence is the next one of the corpus that lags behind most.

    With weights w and t tokens taken in a phase so far, of which t_k from corpus k, the next sequence comes from the
    corpus with the largest w_k (t + 1) - t_k: shares are exact to within a sequence from the first batch on. Each
    corpus has its own epochs; a window's last sequences and the next one's first may share a global batch.
    """

    def __init__(
        self,
        parts: Sequence[Windows[Any]],
        course: Course,
        weights: Sequence[Sequence[float]],
        max_epochs: Sequence[int | None],
        own_positions: tuple[bool, ...] = (),
    ) -> None:
        """Mix corpora.

        Args:
            parts: K of them.
            course: where the phases begin and end.
            weights: of each phase, K shares.
            max_epochs: K of them, passes over a corpus after which the others take its place.
            own_positions: see ``Walk``.
        """
        super().__init__(parts[0].order, course, own_positions)
        self.parts, self.weights, self.max_epochs = parts, weights, max_epochs
        self.beginning: Place = (PartPlace(0, 0, 0, 0),) * len(parts)
        self._entered: dict[int, tuple[int, int, Window]] = {}  # of each corpus: epoch, window, its shards

    def batches(self, place: Place, done: int) -> Iterator[tuple[Index, Place]]:
        """See ``Walk``."""
        places: list[PartPlace] = [*place]
        while not self.ended(done):
            phase = self.course.phase(done)
            places, spans = self._batch(phase, places, done)
            done += 1
            following = self.course.phase(done)
            if following != phase:
                places = [one._replace(taken=0) for one in places]
            if self.breaks(phase, following):
                places = [PartPlace(one.epoch + 1, 0, 0, 0) if any(one[:3]) else one for one in places]
            yield self.index(done - 1, tuple(spans)), tuple(places)

    def _batch(self, phase: int, places: list[PartPlace], done: int) -> tuple[list[PartPlace], list[Span]]:
        """The places behind a global batch, and its sequences."""
        by_tokens, budget = self.order.sizes[phase].sequences is None, self.size(done)
        spans: list[Span] = []
        used = 0
        while True:
            at = [self._settled(phase, number, one) for number, one in enumerate(places)]
            weights = self._active(phase, at, done)
            ahead = [one.lengths[: budget + 1] for one in at]  # a sequence is at least one of what is counted
            ends = np.cumsum([len(lengths) for lengths in ahead])
            taken = np.array([one.place.taken for one in at])
            numbers, used, cause = _deal(np.concatenate(ahead), ends, taken, weights, used, budget, by_tokens)
            places = []
            for part, (one, number, tokens) in enumerate(zip(at, numbers.tolist(), taken.tolist(), strict=True)):
                begin, end = one.place.sequence, one.place.sequence + number
                if number:
                    spans.append(Span(part, one.place.epoch, one.window, begin, end))
                places.append(one.place._replace(sequence=end, taken=tokens))
            if cause == FULL:
                return places, spans
            places[cause] = places[cause]._replace(window=places[cause].window + 1, sequence=0)

    def _active(self, phase: int, at: "Sequence[_Settled]", done: int) -> npt.NDArray[np.float64]:
        """The shares of the corpora that are not used up, which sum to 1."""
        left = [weight if one.window else 0.0 for one, weight in zip(at, self.weights[phase], strict=True)]
        if not any(left):
            raise InputError(
                f"corpus.parts: after {done:,} of {self.course.total or 0:,} steps every part has been read max_epochs "
                "times: give one of them more, or train for fewer steps"
            )
        return np.array(left) / sum(left)

    def _settled(self, phase: int, number: int, place: PartPlace) -> "_Settled":
        """The same place as one of a window that has a sequence left; without a window where none is to be read."""
        part, most = self.parts[number], self.max_epochs[number]
        while self.weights[phase][number] and (most is None or place.epoch < most):
            entered = self._entered.get(number)
            if entered is not None and entered[:2] == (place.epoch, place.window):
                _, plan = part.plan(phase, place.epoch, entered[2])
                if place.sequence < len(plan.lengths):  # most batches: nothing is drawn nor fetched again
                    return _Settled(place, entered[2], plan.lengths[place.sequence :])
            windows = part.order.windows(place.epoch)
            if place.window >= len(windows):
                place = place._replace(epoch=place.epoch + 1, window=0, sequence=0)
                continue
            window = windows[place.window]
            _, plan = part.plan(phase, place.epoch, window)
            if place.sequence < len(plan.lengths):
                rest = windows[place.window + 1 :] or part.order.windows(place.epoch + 1)
                part.fetch_ahead(rest[0])
                self._entered[number] = (place.epoch, place.window, window)
                return _Settled(place, window, plan.lengths[place.sequence :])
            place = place._replace(window=place.window + 1, sequence=0)
        return _Settled(place)

    def state_of(self, place: Place) -> dict[str, int]:
        """Four integers for each corpus."""
        return {
            name: value for number, one in enumerate(place) for name, value in zip(names_of(number), one, strict=True)
        }

    def place_in(self, state: Mapping[str, int]) -> Place:
        """See ``Walk``."""
        return tuple(PartPlace(*(state[name] for name in names_of(number))) for number in range(len(self.parts)))


def names_of(part: int) -> tuple[str, ...]:
    """What a checkpoint calls the four integers of a corpus."""
    return tuple(f"part_{part}_{name}" for name in PartPlace._fields)


@compiled
def _deal(
    lengths: IntArray,
    ends: IntArray,
    taken: IntArray,
    weights: npt.NDArray[np.float64],
    used: int,
    budget: int,
    by_tokens: bool,
) -> tuple[IntArray, int, int]:
    """Take sequences until the batch is full, or a corpus has none left in its window.

    Args:
        lengths: of the next sequences of each window, one window behind the other.
        ends: (K,) where each window ends in them.
        taken: (K,) tokens of each corpus so far; added to.
        weights: (K,) shares.
        used: of the budget.
        budget: of the batch.
        by_tokens: whether that is in tokens.

    Returns:
        How many sequences each corpus gives, what is used of the budget, and ``FULL`` or the corpus that has none left.
    """
    numbers = np.zeros(len(weights), np.int64)
    total = 0
    for k in range(len(weights)):
        if weights[k] > 0.0:
            total += taken[k]
    while True:
        chosen, most = 0, -np.inf
        for k in range(len(weights)):
            lag = weights[k] * (total + 1) - taken[k]
            if weights[k] > 0.0 and lag > most:
                chosen, most = k, lag
        place = (ends[chosen - 1] if chosen else 0) + numbers[chosen]
        if place == ends[chosen]:
            return numbers, used, chosen
        length = lengths[place]
        cost = length if by_tokens else 1
        if used and used + cost > budget:
            return numbers, used, FULL
        used += cost
        total += length
        taken[chosen] += length
        numbers[chosen] += 1
        if used >= budget:
            return numbers, used, FULL
