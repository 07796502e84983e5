"""The data module of pre-training: from a prepared corpus (or raw text) to batches."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Generic

from lightning import LightningDataModule
from tokenizers import Tokenizer

from cloze.data.cache import ShardCache
from cloze.data.micro_batches import recount_micro_batches
from cloze.data.pretraining.dataset import Index, MicroBatches, Order
from cloze.data.pretraining.loader import HeldoutLoader, TrainingLoader
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.objective import B, Objective, checked_words
from cloze.data.pretraining.plan import BatchSize
from cloze.errors import InputError
from cloze.files.remote import Location, RemotePath, location
from cloze.text.manifest import Manifest, ShardInfo
from cloze.text.prepare import Preparation
from cloze.text.special_tokens import special_tokens
from cloze.text.tokenizer import read_tokenizer

_log = logging.getLogger(__name__)

DEFAULT_CACHE = Path("data/cache")
"""Where shards of a store are kept, from the working folder."""

PLANNED_SHARDS = 16
"""From whose plans the length of epochs is estimated: half a second, whatever the size of the corpus."""

HELDOUT_SEED = 0
"""Held-out batches are the same whatever the seed of the run, so that runs can be compared."""


class PretrainingData(LightningDataModule, Generic[B]):
    """Batches of an objective from the shards of a prepared corpus.

    Ranks, their number and the accumulation steps are the trainer's, which needs ``use_distributed_sampler=False``.
    One iteration of the training loader is the whole training, over as many epochs as it takes, so that the trainer
    counts steps and one Lightning epoch.
    """

    place: ClassVar[tuple[str, ...]] = ("epoch", "window", "batch")
    """What says where in the data training is, in the state of its loader."""

    def __init__(
        self,
        *,
        folder: str | Path,
        objective: Objective[B],
        preparation: Preparation | None = None,
        seed: int = 1,
        batch_tokens: int | None = None,
        batch_sequences: int | None = None,
        phases: Sequence[tuple[float, int]] | None = None,
        training_batches: int | None = None,
        shuffle_shards: int = 8,
        heldout_tokens: int | None = 500_000,
        num_workers: int = 0,
        static_shapes: bool = False,
        pin_memory: bool = False,
        cache: str | Path | None = None,
        cache_gigabytes: float = 20.0,
    ) -> None:
        """Describe the data; nothing is read before ``setup``.

        Args:
            folder: the prepared corpus; also ``s3://bucket/folder``.
            objective: what is asked about the text.
            preparation: makes the corpus when nothing lies in the folder; None takes what lies there.
            seed: of the order, the pairs and what the objective draws.
            batch_tokens: tokens of a global batch: sequences are added as long as they fit.
            batch_sequences: or its number of sequences.
            phases: (share of training, max_length) one after the other, as ((0.9, 128), (0.1, 512)); the shares sum to
                1. None for ``objective.max_length`` all along. Held-out sequences always have ``objective.max_length``.
            training_batches: global batches of the whole training; None where only the clock knows. Phases and an
                objective that follows the position of training need it.
            shuffle_shards: this many shards, which follow one another in the epoch's random order, are shuffled
                together; each process that makes batches holds them, at 2 bytes a token (4 for more than 65,536
                tokens).
            heldout_tokens: evaluate on about this many tokens; None for all.
            num_workers: processes that make batches; 0 for the training process.
            static_shapes: fill micro-batches up to constant shapes, for compiled steps.
            pin_memory: put batches into page-locked memory, for copies to a GPU.
            cache: a folder of this machine for copies of the shards; None reads them where they lie, those of a store
                through ``data/cache``.
            cache_gigabytes: what the copies may take; those in use stay.

        Raises:
            InputError: for values that exclude each other or lie outside their range.
        """
        super().__init__()
        self.folder = location(folder)
        if cache is None and isinstance(self.folder, RemotePath):
            cache = DEFAULT_CACHE
        self.cache = None if cache is None else ShardCache(self.folder, Path(cache).absolute(), cache_gigabytes)
        self.objective = objective
        self.preparation = preparation
        self.seed = seed
        self.size = BatchSize(tokens=batch_tokens, sequences=batch_sequences)
        self.phases = [(float(share), int(length)) for share, length in phases or [(1.0, objective.max_length)]]
        self.training_batches = training_batches
        self.shuffle_shards, self.heldout_tokens = shuffle_shards, heldout_tokens
        self.num_workers, self.static_shapes, self.pin_memory = num_workers, static_shapes, pin_memory
        self.manifest: Manifest
        self.tokenizer: Tokenizer
        self.tokenizer_files: Mapping[str, bytes]
        self._check_phases()

    def _check_phases(self) -> None:
        shares = [share for share, _ in self.phases]
        if abs(sum(shares) - 1) > 1e-6 or min(shares) <= 0:
            raise InputError(f"data.phases: the shares of training are {shares}; expected positive ones that sum to 1")
        if self.size.tokens is not None and self.size.tokens < self.max_length:
            raise InputError(
                f"data.batch_tokens={self.size.tokens}: expected at least one sequence of max_length={self.max_length}"
            )
        if self.shuffle_shards < 1:
            raise InputError(f"data.shuffle_shards={self.shuffle_shards}: expected at least 1")
        if self.heldout_tokens is not None and self.heldout_tokens < self.objective.max_length:
            raise InputError(
                f"data.heldout_tokens={self.heldout_tokens}: expected at least one sequence, or null for all"
            )

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence of any phase."""
        return max(length for _, length in self.phases)

    @property
    def tokens_in_epoch(self) -> float:
        """About this many: those of the text, with [CLS] and [SEP] in sequences that are full."""
        length = self.objective.max_length
        return sum(info.tokens for info in self.manifest.train) * length / (length - self.objective.special_tokens)

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """Accumulation steps with which micro-batches have at most about this many tokens."""
        return self.size.accumulation(self.max_length, micro_batch_tokens, ranks)

    def prepare_data(self) -> None:
        """Prepare the corpus if nothing has been prepared yet; refuse one that was prepared otherwise."""
        if self.preparation is not None:
            self.preparation.ensure(self.folder)

    def setup(self, stage: str | None = None) -> None:
        """Read the manifest and the tokenizer.

        Args:
            stage: Lightning's; "validate" needs no text to train on.

        Raises:
            InputError: the folder is not a prepared corpus, or its parts do not belong together.
        """
        self.manifest = Manifest.load(self.folder)
        if self.cache is not None:
            self.cache.check((*self.manifest.train, *self.manifest.heldout), self.shuffle_shards)
        self.tokenizer, self.tokenizer_files = read_tokenizer(self.folder / "tokenizer")
        self.manifest.check_tokenizer(self.tokenizer, name=str(self.folder / "tokenizer"), folder=self.folder)
        if stage != "validate" and not self.manifest.train:
            raise InputError(f"{self.folder}: all of its text is held out: take another corpus to train on")
        used = self.manifest.heldout if stage == "validate" else self.manifest.train
        documents = sorted(info.documents for info in used)[-self.shuffle_shards :]
        if self.objective.pairs == "next_sentence" and sum(documents) < 2:
            raise InputError(
                f"{self.folder}: no two documents are read together, so there is no random next sentence; "
                "check how documents are separated, or use objective=mlm or objective=mlm_sop"
            )
        special = special_tokens(self.tokenizer, self.tokenizer_files)
        segmented = self.manifest.config.get("words") is not None
        continues = checked_words(self.objective, self.tokenizer, special, self.folder, segmented=segmented)
        self.vocabulary = Vocabulary.of(self.tokenizer, special, continues)

    def batches_in_epochs(self, epochs: int, phase: int = 0) -> int:
        """Global batches of the first epochs: counted in small corpora, else estimated from a bounded sample of plans.

        The pairs of a window are drawn again every epoch, so its number of batches is known only from its plan. Where
        there are more than ``PLANNED_SHARDS`` shards, the windows of about this many, evenly spaced over epochs, tell
        the batches a token, and the manifest the tokens. A function of manifest, seed, objective and batch size alone:
        the same on all ranks and after a restart.
        """
        shards = self.manifest.train
        order = self._training_order()
        windows = len(order.windows(0))
        number = epochs * windows
        planned = min(number, max(1, PLANNED_SHARDS * windows // max(1, len(shards))))
        data = self._micro_batches(order, shards, 1)
        batches = tokens = 0
        for place in range(planned):
            epoch, window = divmod(place * number // planned, windows)
            chosen = order.windows(epoch)[window]
            batches += data.num_batches(phase, epoch, chosen)
            tokens += sum(shards[shard].tokens for shard in chosen)
        if planned == number:
            return batches
        return round(batches * epochs * sum(info.tokens for info in shards) / max(tokens, 1))

    def warnings(self) -> list[str]:
        """What the objective cannot learn from the first window of training."""
        order = self._training_order()
        windows = order.windows(0)
        if not windows:
            return []
        shard, plan = self._micro_batches(order, self.manifest.train, 1).plan(0, 0, windows[0])
        return order.objectives[0].warnings(shard, plan, self.vocabulary)

    def largest_batch(self, ranks: int, accumulation: int, phase: int) -> B:
        """The largest micro-batch of the first step in a phase, as training would see it if it began there.

        Args:
            ranks: number of processes.
            accumulation: micro-batches of each in a global batch.
            phase: counts from 0.
        """
        data = self._micro_batches(self._training_order(), self.manifest.train, ranks * accumulation)
        window = next((window for window in data.order.windows(0) if data.num_batches(phase, 0, window)), None)
        if window is None:
            raise InputError(f"{self.folder}: the text is too short for one batch; take more of it")
        return data.largest(Index(phase, 0, window, 0, 0, 0.0))

    def train_dataloader(self) -> TrainingLoader[B]:
        """The walk over the training shards for this rank.

        Raises:
            InputError: phases or an objective that follows the position of training without a known length of training.
        """
        if self.training_batches is None and (len(self.phases) > 1 or self.objective.follows_position):
            raise InputError(
                "data.phases and objective.final_mask_rate follow the position of training: expected a length in "
                "steps, tokens or epochs; set trainer.max_steps"
            )
        rank, ranks, accumulation = self._place()
        if self.trainer is not None:
            recount_micro_batches(self.trainer)
        self._warn_of_large_batches()
        ends, done = [], 0.0
        for share, _ in self.phases[:-1]:
            done += share
            ends.append(round(done * (self.training_batches or 0)))
        return TrainingLoader(
            self._micro_batches(self._training_order(), self.manifest.train, ranks * accumulation),
            rank=rank,
            ranks=ranks,
            training_batches=self.training_batches,
            phase_ends=tuple(ends),
            batches_done=self._batches_done,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            device=None if self.trainer is None else self.trainer.strategy.root_device,
        )

    def val_dataloader(self) -> HeldoutLoader[B] | list[B]:
        """The same held-out batches at every call; without held-out documents an empty list."""
        if not self.manifest.heldout:
            return []
        rank, ranks, accumulation = self._place()
        objective = self.objective.heldout()
        most = self.size.most_tokens(objective.max_length)
        order = Order(
            shards=self._paths(self.manifest.heldout),
            vocabulary=self.vocabulary,
            objectives=(objective,),
            size=BatchSize(tokens=min(most, self.heldout_tokens or most)),
            seed=HELDOUT_SEED,
            keep_remainder=True,
        )
        return HeldoutLoader(
            self._micro_batches(order, self.manifest.heldout, ranks * accumulation),
            rank=rank,
            ranks=ranks,
            max_tokens=self.heldout_tokens,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            device=None if self.trainer is None else self.trainer.strategy.root_device,
        )

    def _micro_batches(self, order: Order[B], infos: tuple[ShardInfo, ...], count: int) -> MicroBatches[B]:
        return MicroBatches(order, micro_batches=count, static_shapes=self.static_shapes, cache=self.cache, infos=infos)

    def _training_order(self) -> Order[B]:
        return Order(
            shards=self._paths(self.manifest.train),
            vocabulary=self.vocabulary,
            objectives=tuple(replace(self.objective, max_length=length) for _, length in self.phases),
            size=self.size,
            seed=self.seed,
            shuffle_shards=self.shuffle_shards,
        )

    def _paths(self, shards: Sequence[ShardInfo]) -> tuple[Location, ...]:
        return tuple(self.folder / info.file for info in shards)

    def _place(self) -> tuple[int, int, int]:
        """Rank, number of ranks and accumulation steps; alone without a trainer."""
        if self.trainer is None:
            return 0, 1, 1
        return self.trainer.global_rank, self.trainer.world_size, self.trainer.accumulate_grad_batches

    def _batches_done(self) -> int:
        """Each optimizer step is one global batch."""
        return 0 if self.trainer is None else self.trainer.global_step

    def _warn_of_large_batches(self) -> None:
        tokens = sorted((info.tokens for info in self.manifest.train), reverse=True)
        largest = sum(tokens[: self.shuffle_shards])
        if self.size.most_tokens(self.max_length) > largest and self._place()[0] == 0:
            _log.warning(
                "%s: a global batch comes from shards that are shuffled together, and the largest %d have %d tokens: "
                "batches will be smaller than asked for; take smaller ones, or more data.shuffle_shards",
                self.folder,
                self.shuffle_shards,
                largest,
            )
