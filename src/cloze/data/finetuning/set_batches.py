"""Global batches from several sets of examples, by weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cloze.data.splitmix import key_of, permutation, stream


@dataclass(frozen=True, kw_only=True)
class SetMix:
    """Which items of which set are in each batch, a pure function of (seed, epoch).

    An epoch has as many items as all sets have together, of each set its share by weight: a set that has more of them
    continues there in the next epoch, one that has fewer comes again, each time in another order.

    Attributes:
        numbers: (items,) the set of each item.
        weights: of each set, its share of the items next to those of the others.
        alike: whether the items of a batch are all of one set; else each batch has all sets.
    """

    numbers: np.ndarray
    weights: tuple[float, ...]
    alike: bool

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The numbers of the items of each global batch of an epoch.

        Args:
            batch_size: items of a batch; those of a set that is smaller are fewer.
            seed: of the orders.
            epoch: from 0.
        """
        sets = [np.flatnonzero(self.numbers == number) for number in range(len(self.weights))]
        count = -(-len(self.numbers) // batch_size)
        sizes = [min(batch_size, len(each)) if self.alike else 1 for each in sets]
        turns = list(_turns(self.weights, count if self.alike else count * batch_size))
        drawn = [
            self._drawn(items, turns.count(number) * sizes[number], key_of(seed, number), epoch)
            for number, items in enumerate(sets)
        ]
        parts = [next(drawn[number]) if not self.alike else _next(drawn[number], sizes[number]) for number in turns]
        if self.alike:
            return [np.array(part) for part in parts]
        return [np.array(parts[start : start + batch_size]) for start in range(0, len(parts), batch_size)]

    def _drawn(self, items: np.ndarray, count: int, key: np.uint64, epoch: int) -> Iterator[int]:
        """The next items of a set in an epoch that has this many of them."""
        for place in range(epoch * count, (epoch + 1) * count):
            passed, at = divmod(place, len(items))
            if at == 0 or place == epoch * count:
                order = permutation(len(items), stream(key_of(key, passed)))
            yield int(items[order[at]])


def _next(items: Iterator[int], count: int) -> list[int]:
    return [next(items) for _ in range(count)]


def _turns(weights: tuple[float, ...], count: int) -> Iterator[int]:
    """The set of each turn: that which lags behind its share the most."""
    shares, given = np.array(weights) / sum(weights), np.zeros(len(weights))
    for turn in range(1, count + 1):
        number = int(np.argmax(turn * shares - given))
        given[number] += 1
        yield number
