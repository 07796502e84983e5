"""The data module of pre-training: from a prepared corpus (or raw text) to batches."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic

from lightning import LightningDataModule
from tokenizers import Tokenizer

from cloze.data.micro_batches import recount_micro_batches
from cloze.data.pretraining.corpus_folder import CorpusFolder, cache_for, check_alike, folders, together
from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.epochs import batches_in_epochs
from cloze.data.pretraining.loader import HeldoutLoader, TrainingLoader
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.mixture import MixtureWalk, names_of
from cloze.data.pretraining.objective import B, Objective, checked_words
from cloze.data.pretraining.phases import Course, Phase
from cloze.data.pretraining.plan import BatchSize
from cloze.data.pretraining.stages import Stages
from cloze.data.pretraining.walk import CorpusWalk, Position, Walk
from cloze.data.splitmix import key_of
from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.manifest import Manifest
from cloze.text.prepare import Preparation
from cloze.text.sources.mixture import Mixture
from cloze.text.special_tokens import special_tokens

_log = logging.getLogger(__name__)

HELDOUT_SEED = 0
"""Held-out batches are the same whatever the seed of the run, so that runs can be compared."""


class PretrainingData(LightningDataModule, Generic[B]):
    """Batches of an objective from the shards of a prepared corpus.

    Ranks, their number and the accumulation steps are the trainer's, which needs ``use_distributed_sampler=False``.
    One iteration of the training loader is the whole training, over as many epochs as it takes, so that the trainer
    counts steps and one Lightning epoch.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        objective: Objective[B],
        preparation: Preparation | None = None,
        seed: int = 1,
        batch_tokens: int | None = None,
        batch_sequences: int | None = None,
        phases: Sequence[Phase | tuple[float, int]] | None = None,
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
            preparation: makes the corpus when nothing lies in the folder; None takes what lies there. A mixture as its
                source takes the folders of that.
            seed: of the order, the pairs and what the objective draws.
            batch_tokens: tokens of a global batch: sequences are added as long as they fit.
            batch_sequences: or its number of sequences.
            phases: one after the other: what each changes, or (share of training, max_length), as ((0.9, 128), (0.1,
                512)). None for one that changes nothing. Held-out sequences always have ``objective.max_length``.
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
        source = None if preparation is None else preparation.source
        self.mixture = source if isinstance(source, Mixture) else None
        self.folders = folders(folder, None if self.mixture is None else self.mixture.folders)
        self.folder = self.folders[0]
        self.caches = [cache_for(one, cache, cache_gigabytes) for one in self.folders]
        self.objective = objective
        self.preparation = preparation if self.mixture is None else None
        self.seed = seed
        self.size = BatchSize(tokens=batch_tokens, sequences=batch_sequences)
        self.stages = Stages.of(phases, objective, self.size)
        self.stages.check_weights(None if self.mixture is None else len(self.folders))
        self.training_batches = training_batches
        self.shuffle_shards, self.heldout_tokens = shuffle_shards, heldout_tokens
        self.num_workers, self.static_shapes, self.pin_memory = num_workers, static_shapes, pin_memory
        self.corpora: list[CorpusFolder]
        self.manifest: Manifest
        self.tokenizer: Tokenizer
        self.tokenizer_files: Mapping[str, bytes]
        self._check()

    def _check(self) -> None:
        if self.shuffle_shards < 1:
            raise InputError(f"data.shuffle_shards={self.shuffle_shards}: expected at least 1")
        if self.heldout_tokens is not None and self.heldout_tokens < self.objective.max_length:
            raise InputError(
                f"data.heldout_tokens={self.heldout_tokens}: expected at least one sequence, or null for all"
            )

    @property
    def place(self) -> tuple[str, ...]:
        """The names of what says where in the data training is, in the state of its loader."""
        if self.mixture is None:
            return Position._fields
        return tuple(name for part in range(len(self.folders)) for name in names_of(part))

    @property
    def tokens_in_epoch(self) -> float:
        """About this many: those of the text, with [CLS] and [SEP] in sequences that are full; 0 for a mixture."""
        if self.mixture is not None:
            return 0.0
        length = self.objective.max_length
        return self.corpora[0].train_tokens * length / (length - self.objective.special_tokens)

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about this many tokens."""
        return self.stages.accumulation(micro_batch_tokens, ranks)

    @property
    def course(self) -> Course:
        """Where the phases begin and end."""
        return self.stages.course(self.training_batches)

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
        self.corpora = [
            CorpusFolder.read(folder, cache, self.shuffle_shards)
            for folder, cache in zip(self.folders, self.caches, strict=True)
        ]
        check_alike(self.corpora)
        self.manifest = together(self.corpora)
        self.tokenizer, self.tokenizer_files = self.corpora[0].tokenizer, self.corpora[0].tokenizer_files
        if stage != "validate" and not self.manifest.train:
            raise InputError(f"{self.folder}: all of its text is held out: take another corpus to train on")
        if self.objective.pairs == "next_sentence":
            for corpus in self.corpora:
                corpus.check_documents(self.shuffle_shards, heldout=stage == "validate")
        special = special_tokens(self.tokenizer, self.tokenizer_files)
        segmented = self.manifest.config.get("words") is not None
        continues = checked_words(self.objective, self.tokenizer, special, self.folder, segmented=segmented)
        self.vocabulary = Vocabulary.of(self.tokenizer, special, continues)

    def batches_in_epochs(self, epochs: int, phase: int = 0) -> int:
        """Global batches of the first epochs, see ``cloze.data.pretraining.epochs``.

        Raises:
            InputError: corpora are mixed, each with epochs of its own.
        """
        if self.mixture is not None:
            raise InputError(
                "trainer.max_epochs: a mixture has no epochs of its own; set trainer.max_steps or trainer.max_tokens"
            )
        return batches_in_epochs(self._training_windows(0), self.manifest.train, epochs, phase)

    def warnings(self) -> list[str]:
        """What the objective cannot learn from the first window of training, of each corpus."""
        found = []
        for part in range(len(self.corpora)):
            data = self._training_windows(part)
            if windows := data.order.windows(0):
                shard, plan = data.plan(0, 0, windows[0])
                found += self.stages.objectives[0].warnings(shard, plan, self.vocabulary)
        return list(dict.fromkeys(found))

    def largest_batch(self, ranks: int, accumulation: int) -> B:
        """The largest micro-batch of a first step in the phase with the longest sequences, if training began there.

        Args:
            ranks: number of processes.
            accumulation: micro-batches of each in a global batch.
        """
        parts = self._parts()
        objectives = self.stages.objectives
        walk = self._walk(parts, Course.of([2] * len(objectives)))  # the first and the last step of each
        done = max(range(2 * len(objectives)), key=lambda step: (objectives[step // 2].max_length, walk.size(step)))
        try:
            index, _ = next(walk.batches(walk.beginning, done))
        except (StopIteration, RuntimeError) as error:
            raise InputError(f"{self.folder}: the text is too short for one batch; take more of it") from error
        return MicroBatches(*parts, micro_batches=ranks * accumulation, static_shapes=self.static_shapes).largest(index)

    def train_dataloader(self) -> TrainingLoader[B]:
        """The walk over the training shards for this rank.

        Raises:
            InputError: phases or an objective that follows the position of training without a known length of training.
        """
        if self.training_batches is None and (len(self.stages.phases) > 1 or self.objective.follows_position):
            raise InputError(
                "phases and objective.final_mask_rate follow the position of training: expected a length in "
                "steps, tokens or epochs; set trainer.max_steps"
            )
        rank, ranks, accumulation = self._place()
        if self.trainer is not None:
            recount_micro_batches(self.trainer)
        self._warn_of_large_batches()
        parts = self._parts()
        return TrainingLoader(
            MicroBatches(*parts, micro_batches=ranks * accumulation, static_shapes=self.static_shapes),
            walk=self._walk(parts, self.course),
            rank=rank,
            ranks=ranks,
            batches_done=self._batches_done,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            device=None if self.trainer is None else self.trainer.strategy.root_device,
        )

    def _walk(self, parts: list[Windows[B]], course: Course) -> Walk:
        own = self.stages.own_positions
        if self.mixture is None:
            return CorpusWalk(parts[0], course, own)
        shares = self.mixture.shares([corpus.train_tokens for corpus in self.corpora])
        return MixtureWalk(parts, course, self.stages.weights(shares), self.mixture.max_epochs, own)

    def val_dataloader(self) -> list[HeldoutLoader[B]]:
        """One loader for each corpus that has held-out text, of the same batches at every call."""
        return [self._heldout_loader(corpus) for corpus in self.corpora if corpus.manifest.heldout]

    @property
    def heldout_names(self) -> tuple[str, ...]:
        """Of the corpora of a mixture that have held-out text, in the order of their loaders; else none."""
        if self.mixture is None:
            return ()
        named = zip(self.mixture.names, self.corpora, strict=True)
        return tuple(name for name, corpus in named if corpus.manifest.heldout)

    @property
    def heldout_paths(self) -> tuple[Location, ...]:
        """Where the held-out shards lie."""
        return tuple(path for corpus in self.corpora for path in corpus.paths(corpus.manifest.heldout))

    def _heldout_loader(self, corpus: CorpusFolder) -> HeldoutLoader[B]:
        rank, ranks, accumulation = self._place()
        objective = self.objective.heldout()
        tokens = None if self.heldout_tokens is None else max(self.heldout_tokens // len(self.corpora), 1)
        most = self.size.most_tokens(objective.max_length)
        order = Order(
            shards=(),
            vocabulary=self.vocabulary,
            objectives=(objective,),
            sizes=(BatchSize(tokens=min(most, tokens or most)),),
            seed=HELDOUT_SEED,
            keep_remainder=True,
        )
        return HeldoutLoader(
            MicroBatches(
                corpus.windows(order, heldout=True),
                micro_batches=ranks * accumulation,
                static_shapes=self.static_shapes,
            ),
            rank=rank,
            ranks=ranks,
            max_tokens=tokens,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            device=None if self.trainer is None else self.trainer.strategy.root_device,
        )

    def _parts(self) -> list[Windows[B]]:
        return [self._training_windows(part) for part in range(len(self.corpora))]

    def _training_windows(self, part: int) -> Windows[B]:
        order = Order(
            shards=(),
            vocabulary=self.vocabulary,
            objectives=self.stages.objectives,
            sizes=self.stages.sizes,
            seed=int(key_of(self.seed, part)) if part else self.seed,
            shuffle_shards=self.shuffle_shards,
        )
        return self.corpora[part].windows(order)

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
        if self.mixture is None and self.stages.most_tokens > largest and self._place()[0] == 0:
            _log.warning(
                "%s: a global batch comes from shards that are shuffled together, and the largest %d have %d tokens: "
                "batches will be smaller than asked for; take smaller ones, or more data.shuffle_shards",
                self.folder,
                self.shuffle_shards,
                largest,
            )
