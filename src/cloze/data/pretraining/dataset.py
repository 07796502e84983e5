"""Build micro-batches from their index: a pure function of corpora, objective and index."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from cloze.data.cache import Lease, ShardCache
from cloze.data.micro_batches import cut
from cloze.data.pretraining.gathering import gathered
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

Budgets = Callable[[int], int]
"""The size of each global batch of a window."""


class Span(NamedTuple):
    """Sequences that follow one another in the plan of a window.

    Attributes:
        part: which of the corpora.
        epoch: of that one.
        window: its shards.
        begin: the first of the sequences.
        end: one past the last.
    """

    part: int
    epoch: int
    window: Window
    begin: int
    end: int


class Index(NamedTuple):
    """The name of one micro-batch.

    It is small, so that it travels to a worker cheaply.

    Attributes:
        phase: of training.
        spans: the sequences of its global batch.
        micro_batch: which part of that.
        position: of training there, or of its phase where the objective follows that, from 0 (beginning) to 1 (end).
        size: that the global batch was to have, in the unit of the phase.
    """

    phase: int
    spans: tuple[Span, ...]
    micro_batch: int
    position: float
    size: int


@dataclass(frozen=True, kw_only=True)
class Order(Generic[B]):
    """All that decides the sequences of a corpus and their order: the same on any hardware.

    Attributes:
        shards: the files, in the order of the manifest.
        vocabulary: special ids and continuation tokens.
        objectives: one a phase; they may differ in anything but the type of their batches.
        sizes: of a global batch, one a phase.
        seed: of the run.
        shuffle_shards: how many shards that follow one another are shuffled together.
        keep_remainder: see ``make_plan``.
    """

    shards: tuple[Location, ...]
    vocabulary: Vocabulary
    objectives: tuple[Objective[B], ...]
    sizes: tuple[BatchSize, ...]
    seed: int
    shuffle_shards: int = 1
    keep_remainder: bool = False

    def windows(self, epoch: int) -> list[Window]:
        """The shards in the order of an epoch: shuffled in training, that of the manifest in evaluation."""
        shards = list(range(len(self.shards)))
        if not self.keep_remainder:
            shards = permutation(len(shards), stream(key_of(self.seed, epoch))).tolist()
        return [tuple(shards[i : i + self.shuffle_shards]) for i in range(0, len(shards), self.shuffle_shards)]


class Windows(Generic[B]):
    """The windows of one corpus, of which each process holds the one in use."""

    def __init__(self, order: Order[B], cache: ShardCache | None = None, infos: tuple[ShardInfo, ...] = ()) -> None:
        """Read the shards of an order.

        Args:
            order: of the corpus.
            cache: reads the shards through it, by what the manifest says of them; None reads them where they lie.
            infos: that.
        """
        self.order, self._cache, self._infos = order, cache, infos
        self._leases: list[Lease] = []
        self._shard: tuple[Window, Shard] | None = None
        self._plan: tuple[tuple[int, int, Window, int | None], Plan] | None = None

    def plan(
        self, phase: int, epoch: int, window: Window, budgets: Budgets | None = None, first: int | None = None
    ) -> tuple[Shard, Plan]:
        """The tokens of a window and their plan.

        Args:
            phase: of training.
            epoch: counts from 0.
            window: its shards.
            budgets: the size of each batch, where they differ.
            first: what tells one such course of sizes from another.
        """
        name = (phase, epoch, window, first)
        if self._plan is None or self._plan[0] != name:
            order, content = self.order, self._content(window)
            plan = make_plan(
                content,
                order.objectives[phase],
                order.sizes[phase],
                seed=order.seed,
                epoch=epoch,
                shard_index=window[0],
                keep_remainder=order.keep_remainder,
                budgets=budgets,
            )
            self._plan = name, plan
        return self._content(window), self._plan[1]

    def sequences(self, phase: int, span: Span, position: float) -> Sequences:
        """Those of a span."""
        # A worker does not divide a window into batches: the span says where this one begins. Only another objective
        # or another epoch makes another plan.
        shard, plan = self._held(phase, span) or self.plan(phase, span.epoch, span.window)
        return Sequences(shard, plan, np.arange(span.begin, span.end), self.order.vocabulary, position)

    def _held(self, phase: int, span: Span) -> tuple[Shard, Plan] | None:
        """The plan in use, if it is that of the span, however it is divided into batches."""
        if self._plan is None or self._plan[0][:3] != (phase, span.epoch, span.window):
            return None
        return self._content(span.window), self._plan[1]

    def fetch_ahead(self, window: Window) -> None:
        """Say which window comes next."""
        if self._cache is not None:
            self._cache.fetch_ahead([self._infos[shard] for shard in window])

    def num_batches(self, phase: int, epoch: int, window: Window) -> int:
        """Global batches of a window, all of the first size of the phase."""
        return self.plan(phase, epoch, window)[1].num_batches

    def _content(self, window: Window) -> Shard:
        if self._shard is None or self._shard[0] != window:
            self._shard = None  # the last window's tokens go before the next ones come
            self._shard = window, joined([_read(path) for path in self._paths(window)])
        return self._shard[1]

    def _paths(self, window: Window) -> list[Location]:
        """Where the shards lie; those in the cache stay there until the next window comes."""
        if self._cache is None:
            return [self.order.shards[shard] for shard in window]
        self._leases = [self._cache.lease(self._infos[shard]) for shard in window]
        return [lease.path for lease in self._leases]


class CutBatch(NamedTuple):
    """A global batch split into micro-batches.

    Attributes:
        micro_batches: the sequences of each.
        counts: those of the objective, of the whole global batch.
    """

    micro_batches: list[Sequences]
    counts: tuple[int, ...]


class MicroBatches(Dataset[B]):
    """A map from ``Index`` to micro-batch. Each process keeps the windows in use and the global batch in use."""

    def __init__(self, *parts: Windows[B], micro_batches: int, static_shapes: bool = False) -> None:
        """Split the global batches of an order, or of several that are mixed.

        Args:
            parts: the corpora; their orders have the same objectives and sizes.
            micro_batches: into how many each is split, ranks times accumulation steps.
            static_shapes: fill every micro-batch up to constant shapes.
        """
        self.parts, self.order = parts, parts[0].order
        self.micro_batches, self.static_shapes = micro_batches, static_shapes
        self._cut: tuple[Index, CutBatch] | None = None

    def __getitem__(self, index: Index) -> B:
        batch = self._whole(index)
        sequences = batch.micro_batches[index.micro_batch]
        return self.order.objectives[index.phase].batch(sequences, batch.counts, self._shape(index))

    def largest(self, index: Index) -> B:
        """Of the global batch in which a micro-batch lies, the one with the most tokens."""
        sizes = [part.lengths.sum() for part in self._whole(index).micro_batches]
        return self[index._replace(micro_batch=int(np.argmax(sizes)))]

    def _shape(self, index: Index) -> StaticShape | None:
        """The constants of the phase; where batches grow, of the half, the quarter, ... of the largest that suffice."""
        if not self.static_shapes:
            return None
        size, longest = self.order.sizes[index.phase], self.order.objectives[index.phase].max_length
        tokens = most = size.most_tokens(longest)
        needed = index.size if size.sequences is None else index.size * longest
        while tokens // 2 >= max(needed, longest):
            tokens //= 2
        return StaticShape.of(tokens if size.final is not None else most, longest, self.micro_batches)

    def _whole(self, index: Index) -> CutBatch:
        objective = self.order.objectives[index.phase]
        name = index._replace(micro_batch=0)
        if self._cut is None or self._cut[0] != name:
            found = [self.parts[span.part].sequences(index.phase, span, index.position) for span in index.spans]
            self._cut = name, cut_batch(objective, gathered(found), self.micro_batches)
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
