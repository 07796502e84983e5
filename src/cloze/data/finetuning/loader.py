"""The loaders of downstream tasks: they know positions in an order that is a pure function, and no other state."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cloze.batch import TaskBatch
from cloze.data.finetuning.batching import Batching, FrozenRows, collate, evaluation_batches, micro_batches
from cloze.data.finetuning.items import Item


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
