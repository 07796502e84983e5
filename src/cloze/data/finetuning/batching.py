"""Pack items into micro-batches: the order of an epoch, its global batches, how to split one, and the loaders.

The loaders know positions in an order that is a pure function, and no other state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cloze.batch import IGNORED_LABEL, Packed, TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.set_batches import SetMix
from cloze.data.micro_batches import cut
from cloze.data.splitmix import key_of, permutation, stream
from cloze.errors import InputError

FrozenRows = Callable[[Sequence[int]], np.ndarray]
"""From the numbers of items to the frozen hidden states of their tokens, (N, F)."""

POOL = 50
"""Batches whose items are sorted by length together, where that is asked for."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """The global batches of training, a pure function of (seed, epoch).

    Attributes:
        batch_size: items of a batch, as in the paper; or
        batch_tokens: a batch takes items as long as it has at most this many tokens.
        group_by_length: items of similar length come together, from random pools of fifty batches; attention on a CPU
            then works on many sequences at once. Packed batches are full without it; and where the length tells the
            label, it makes batches of one label, from which little is learned.
        seed: of the order.
        sets: that the items come from, where there are several; batches then have a size, and no groups of lengths.
    """

    batch_size: int | None = None
    batch_tokens: int | None = None
    group_by_length: bool = False
    seed: int = 1
    sets: SetMix | None = None

    def __post_init__(self) -> None:
        if (self.batch_size is None) == (self.batch_tokens is None):
            given = f"data.batch_size={self.batch_size}, data.batch_tokens={self.batch_tokens}"
            raise InputError(f"{given}: expected exactly one of them")
        if (self.batch_size or self.batch_tokens or 0) < 1:
            raise InputError(
                f"data.{'batch_size' if self.batch_tokens is None else 'batch_tokens'}: must be at least 1"
            )
        if self.sets is not None and (self.batch_size is None or self.group_by_length):
            raise InputError("data: several sets of task.data.train need data.batch_size, without group_by_length")

    def batches(self, lengths: np.ndarray, epoch: int) -> list[np.ndarray]:
        """The numbers of the items of each global batch of an epoch; every item once.

        Args:
            lengths: (items,) their tokens.
            epoch: from 0.
        """
        if self.sets is not None and self.batch_size is not None:
            return self.sets.batches(self.batch_size, self.seed, epoch)
        random = stream(key_of(self.seed, epoch))
        order = permutation(len(lengths), random)
        if self.group_by_length:
            pool = POOL * (self.batch_size or max(1, (self.batch_tokens or 0) * len(lengths) // int(lengths.sum())))
            pools = (order[start : start + pool] for start in range(0, len(order), pool))
            order = np.concatenate([items[np.argsort(lengths[items], kind="stable")] for items in pools])
        batches = self._cut(order, lengths[order])
        if self.group_by_length:
            batches = [batches[place] for place in permutation(len(batches), random)]
        return batches

    def _cut(self, order: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        if self.batch_size is not None:
            return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        ends, tokens = [], 0
        for place, length in enumerate(lengths.tolist()):
            if tokens and tokens + length > (self.batch_tokens or 0):
                ends.append(place)
                tokens = 0
            tokens += length
        return np.split(order, ends)

    def most_tokens(self, lengths: np.ndarray) -> int:
        """No global batch has more tokens than this."""
        longest = int(lengths.max(initial=1))
        if self.batch_size is None:
            return max(self.batch_tokens or 0, longest)
        return int(np.sort(lengths)[-self.batch_size :].sum())


def micro_batches(items: Sequence[Item], numbers: np.ndarray, count: int, frozen: FrozenRows | None) -> list[TaskBatch]:
    """One global batch in `count` micro-batches, balanced by tokens; what has nothing to do gets a filler."""
    labels = sum(_labelled(items[number].labels) for number in numbers)
    lengths = np.array([items[number].num_tokens for number in numbers])
    return [collate(items, numbers[part], global_labels=labels, frozen=frozen) for part in cut(lengths, count)]


def evaluation_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Every item once, sorted by length, in batches of at most about this many tokens."""
    order = np.argsort(-lengths, kind="stable")
    return Batching(batch_tokens=max_tokens)._cut(order, lengths[order]) if len(order) else []


def collate(
    items: Sequence[Item], numbers: Sequence[int] | np.ndarray, *, global_labels: int, frozen: FrozenRows | None = None
) -> TaskBatch:
    """Items side by side in one batch, sorted by length so that attention takes equal lengths together.

    Args:
        items: of the split.
        numbers: of those in the batch; none makes a filler, one item without labels.
        global_labels: of the whole global batch.
        frozen: where the hidden states of a frozen encoder come from.
    """
    filler = len(numbers) == 0
    chosen = [0] if filler else sorted(map(int, numbers), key=lambda number: items[number].num_tokens)
    sequences = [sequence for number in chosen for sequence in items[number].sequences]
    labels = np.concatenate([items[number].labels for number in chosen])
    if filler:
        labels = np.full_like(labels, np.nan if labels.dtype.kind == "f" else IGNORED_LABEL)
    packed = Packed.of(
        [sequence.input_ids for sequence in sequences], [sequence.token_type_ids for sequence in sequences]
    )
    return TaskBatch(
        packed=packed,
        labels=torch.from_numpy(labels),
        items=torch.tensor([-1] if filler else chosen),
        num_tokens=0 if filler else len(packed.input_ids),
        global_labels=global_labels,
        features=None if frozen is None else torch.from_numpy(frozen(chosen)),
        sequences=_sequences([len(items[number].sequences) for number in chosen]),
    )


def _sequences(counts: Sequence[int]) -> torch.Tensor | None:
    """The numbers of each item's sequences in the batch, from how many it has: (I, n)."""
    if max(counts) == min(counts):
        return None
    ends = np.cumsum(counts)[:, None]
    numbers = ends - np.array(counts)[:, None] + np.arange(max(counts))
    return torch.from_numpy(np.where(numbers < ends, numbers, -1))


def _labelled(labels: np.ndarray) -> int:
    """Rows with a label: one an item, or one a labelled token."""
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels != IGNORED_LABEL
    return int(known.reshape(len(labels), -1).any(axis=1).sum())


class TaskLoader:
    """The whole training: over as many epochs as it takes, the micro-batches of one rank.

    Its state is the position of the next global batch: (epoch, batch).
    """

    def __init__(
        self,
        items: Sequence[Item],
        batching: Batching,
        *,
        training_batches: int,
        accumulation: int = 1,
        rank: int = 0,
        ranks: int = 1,
        frozen: FrozenRows | None = None,
        batches_done: Callable[[], int] | None = None,
    ) -> None:
        """Walk over the global batches of `items`.

        Args:
            items: of the training split.
            batching: their order.
            training_batches: global batches of the whole training, after which the iteration ends.
            accumulation: micro-batches of a rank in each global batch.
            rank: this process gets the micro-batches ``rank``, ``rank + ranks``, ...
            ranks: number of processes.
            frozen: where the hidden states of a frozen encoder come from.
            batches_done: asked when an iteration begins: on how many global batches training has been.
        """
        self.items = items
        self.batching = batching
        self.training_batches = training_batches
        self.accumulation = accumulation
        self.rank, self.ranks = rank, ranks
        self.frozen = frozen
        self.lengths = np.array([item.num_tokens for item in items])
        self.epoch = self.batch = 0
        self._delivered = 0
        self._batches_done = batches_done

    def __len__(self) -> int:
        """Micro-batches of this rank in the whole training."""
        return self.training_batches * self.accumulation

    def __iter__(self) -> Iterator[TaskBatch]:
        if self._batches_done is not None:
            self._delivered = self._batches_done()
        while self._delivered < self.training_batches:
            batches = self.batching.batches(self.lengths, self.epoch)
            if self.batch >= len(batches):  # the place is of smaller batches, or of more items
                self.epoch, self.batch = self.epoch + 1, 0
                continue
            for numbers in batches[self.batch : self.batch + self.training_batches - self._delivered]:
                parts = micro_batches(self.items, numbers, self.ranks * self.accumulation, self.frozen)
                *first, last = parts[self.rank :: self.ranks]
                yield from first
                self._delivered += 1
                self.batch += 1
                if self.batch == len(batches):
                    self.epoch, self.batch = self.epoch + 1, 0
                yield last

    def state_dict(self) -> dict[str, int]:
        """The position of the next global batch."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a position."""
        self.epoch, self.batch = state["epoch"], state["batch"]


class EvaluationLoader:
    """Every item of a split, longest first; each rank has every n-th batch of them.

    All ranks have as many, since under FSDP each needs the others to compute one: the last may be a filler.
    """

    def __init__(
        self, items: Sequence[Item], *, max_tokens: int, rank: int = 0, ranks: int = 1, frozen: FrozenRows | None = None
    ) -> None:
        self.items = items
        self.frozen = frozen
        batches = evaluation_batches(np.array([item.num_tokens for item in items]), max_tokens)
        self.batches = batches[rank::ranks]
        if rank >= len(batches) % ranks > 0:
            self.batches = [*self.batches, np.empty(0, np.int64)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[TaskBatch]:
        for numbers in self.batches:
            yield collate(self.items, numbers, global_labels=1, frozen=self.frozen)
