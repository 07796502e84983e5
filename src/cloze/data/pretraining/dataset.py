"""Build micro-batches from their index: a pure function of corpus, objective and index."""

from dataclasses import dataclass
from typing import Generic, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from cloze.data.cache import Lease, ShardCache
from cloze.data.micro_batches import cut
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.objective import B, Objective
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.plan import BatchSize, Plan, Sequences, make_plan
from cloze.data.splitmix import key_of, permutation, stream
from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.manifest import ShardInfo
from cloze.text.shards import Shard, joined, read_shard

Window = tuple[int, ...]
"""Shards whose sequences are shuffled together, by their indices in the manifest."""


class Index(NamedTuple):
    """The name of one micro-batch, with the position of training there, from 0 (beginning) to 1 (end).

    It is small, so that it travels to a worker cheaply.
    """

    phase: int
    epoch: int
    window: Window
    batch: int
    micro_batch: int
    position: float


@dataclass(frozen=True, kw_only=True)
class Order(Generic[B]):
    """All that decides the global batches: two runs of equal order see the same batches on any hardware.

    Attributes:
        shards: the files, in the order of the manifest.
        vocabulary: special ids and continuation tokens.
        objectives: one a phase; they differ in ``max_length``.
        size: of a global batch.
        seed: of the run.
        shuffle_shards: how many shards that follow one another are shuffled together.
        keep_remainder: see ``make_plan``.
    """

    shards: tuple[Location, ...]
    vocabulary: Vocabulary
    objectives: tuple[Objective[B], ...]
    size: BatchSize
    seed: int
    shuffle_shards: int = 1
    keep_remainder: bool = False

    def windows(self, epoch: int) -> list[Window]:
        """The shards in the order of an epoch: shuffled in training, that of the manifest in evaluation."""
        shards = list(range(len(self.shards)))
        if not self.keep_remainder:
            shards = permutation(len(shards), stream(key_of(self.seed, epoch))).tolist()
        return [tuple(shards[i : i + self.shuffle_shards]) for i in range(0, len(shards), self.shuffle_shards)]


class CutBatch(NamedTuple):
    """A global batch split into micro-batches.

    Attributes:
        micro_batches: the sequences of each.
        counts: those of the objective, of the whole global batch.
    """

    micro_batches: list[Sequences]
    counts: tuple[int, ...]


class MicroBatches(Dataset[B]):
    """A map from ``Index`` to micro-batch. Each process keeps the plan in use and the global batch in use, no more."""

    def __init__(
        self,
        order: Order[B],
        *,
        micro_batches: int,
        static_shapes: bool = False,
        cache: ShardCache | None = None,
        infos: tuple[ShardInfo, ...] = (),
    ) -> None:
        """Split the global batches of an order.

        Args:
            order: the global batches.
            micro_batches: into how many each is split, ranks times accumulation steps.
            static_shapes: fill every micro-batch up to constant shapes.
            cache: reads the shards through it, by what the manifest says of them; None reads them where they lie.
            infos: that.
        """
        self._cache, self._infos = cache, infos
        self._leases: list[Lease] = []
        self.order = order
        self.micro_batches = micro_batches
        self.shapes = [
            StaticShape.of(order.size.most_tokens(objective.max_length), objective.max_length, micro_batches)
            if static_shapes
            else None
            for objective in order.objectives
        ]
        self._plan: tuple[tuple[int, int, Window], Shard, Plan] | None = None
        self._cut: tuple[Index, CutBatch] | None = None

    def plan(self, phase: int, epoch: int, window: Window) -> tuple[Shard, Plan]:
        """The tokens of a window and their plan."""
        name = (phase, epoch, window)
        if self._plan is None or self._plan[0] != name:
            order, self._plan = self.order, None  # the last window's tokens go before the next ones come
            content = joined([_read(path) for path in self._paths(window)])
            plan = make_plan(
                content,
                order.objectives[phase],
                order.size,
                seed=order.seed,
                epoch=epoch,
                shard_index=window[0],
                keep_remainder=order.keep_remainder,
            )
            self._plan = name, content, plan
        return self._plan[1:]

    def _paths(self, window: Window) -> list[Location]:
        """Where the shards lie; those in the cache stay there until the next window comes."""
        if self._cache is None:
            return [self.order.shards[shard] for shard in window]
        self._leases = [self._cache.lease(self._infos[shard]) for shard in window]
        return [lease.path for lease in self._leases]

    def fetch_ahead(self, window: Window) -> None:
        """Say which window comes next."""
        if self._cache is not None:
            self._cache.fetch_ahead([self._infos[shard] for shard in window])

    def num_batches(self, phase: int, epoch: int, window: Window) -> int:
        """Global batches of a window."""
        return self.plan(phase, epoch, window)[1].num_batches

    def __getitem__(self, index: Index) -> B:
        batch = self._whole(index)
        sequences, shape = batch.micro_batches[index.micro_batch], self.shapes[index.phase]
        return self.order.objectives[index.phase].batch(sequences, batch.counts, shape)

    def largest(self, index: Index) -> B:
        """Of the global batch in which a micro-batch lies, the one with the most tokens."""
        sizes = [part.lengths.sum() for part in self._whole(index).micro_batches]
        return self[index._replace(micro_batch=int(np.argmax(sizes)))]

    def _whole(self, index: Index) -> CutBatch:
        objective = self.order.objectives[index.phase]
        name = index._replace(micro_batch=0)
        if self._cut is None or self._cut[0] != name:
            shard, plan = self.plan(index.phase, index.epoch, index.window)
            every = np.arange(plan.batches[index.batch], plan.batches[index.batch + 1])
            whole = Sequences(shard, plan, every, self.order.vocabulary, index.position)
            self._cut = name, cut_batch(objective, whole, self.micro_batches)
        return self._cut[1]


def cut_batch(objective: Objective[B], whole: Sequences, micro_batches: int) -> CutBatch:
    """One global batch, split for the hardware."""
    parts = [whole._replace(chosen=whole.chosen[part]) for part in cut(whole.lengths, micro_batches)]
    return CutBatch(parts, objective.counts(whole))


def _read(path: Location) -> Shard:
    shard = read_shard(path)
    if (np.diff(shard.sentence_offsets) < 1).any() or (np.diff(shard.document_offsets) < 1).any():
        raise InputError(f"{path}: holds an empty sentence or document; prepare the corpus again")
    return shard
