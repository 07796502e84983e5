"""The data module of downstream tasks: from a source of examples to packed batches."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from lightning import LightningDataModule
from tokenizers import Tokenizer

from cloze.data.finetuning.batching import Batching, EvaluationLoader, FrozenRows, TaskLoader
from cloze.data.finetuning.items import Features, Item
from cloze.data.finetuning.set_batches import SetMix
from cloze.data.micro_batches import recount_micro_batches
from cloze.data.tables.examples import Example, Source
from cloze.data.tables.spans import with_whole_tokens
from cloze.errors import InputError
from cloze.runtime.wording import counted

E = TypeVar("E", bound=Example)


class Split(NamedTuple, Generic[E]):
    """A split as it was read, and as the model sees it."""

    examples: Sequence[E]
    items: Sequence[Item]

    @property
    def labelled(self) -> bool:
        """Whether the examples have labels: by the first one, since a file has them or has them not."""
        return bool(self.examples) and is_labelled(self.examples[0])


def is_labelled(example: Example) -> bool:
    """Whether an example says what is right, under the name that its shape has for it."""
    known = ("label", "tags", "answers", "positive")
    return next(getattr(example, name) is not None for name in known if hasattr(example, name))


class TaskData(LightningDataModule, Generic[E]):
    """Packed batches of a downstream task.

    Ranks and accumulation steps are the trainer's, which needs ``use_distributed_sampler=False``. One iteration of the
    training loader is the whole training.

    Attributes:
        examples: of each split that has been read.
        splits: of each split that has been encoded.
        encoding_counts: for each split, what the features have counted.
        tokenizer: that the splits were encoded with.
        frozen: for each split, where the hidden states of a frozen encoder come from; none trains through the encoder.
    """

    place: ClassVar[tuple[str, ...]] = ("epoch", "batch")
    """What says where in the data training is, in the state of its loader."""

    def __init__(
        self,
        *,
        source: Source[E],
        features: Features[E],
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        group_by_length: bool = False,
        seed: int = 1,
        evaluation_tokens: int = 4096,
    ) -> None:
        """Describe the data; nothing is read yet.

        Args:
            source: of the examples.
            features: from examples to items.
            batch_size: items of a global batch; or
            batch_tokens: tokens of a global batch.
            group_by_length: items of similar length come together, from random pools of fifty batches.
            seed: of the order.
            evaluation_tokens: of a batch in evaluation and prediction, at most.

        Raises:
            InputError: both sizes of a batch, or none.
        """
        super().__init__()
        self.source = source
        self.features = features
        self.batching = Batching(
            batch_size=batch_size, batch_tokens=batch_tokens, group_by_length=group_by_length, seed=seed
        )
        self.evaluation_tokens = evaluation_tokens
        self.training_batches = 1
        self.examples: dict[str, Sequence[E]] = {}
        self.splits: dict[str, Split[E]] = {}
        self.encoding_counts: dict[str, Counter[str]] = {}
        self.tokenizer: Tokenizer | None = None
        self.tokenizer_files: Mapping[str, bytes] = {}  # of the folder that it was read from
        self.frozen: Mapping[str, FrozenRows] = {}

    def read(self, splits: Sequence[str]) -> None:
        """Read the examples of these splits.

        Raises:
            InputError: a split is not configured, its file is missing or not as it should be, or it has no example.
        """
        for split in splits:
            if split not in self.source.splits:
                raise InputError(f"task.data.{split} is not given: set it to a file")
            self.examples[split] = self.source.read(split)
            if not self.examples[split]:
                raise InputError(f"task.data.{split.replace('_', '.', 1)} has no example: check the file")

    def encode(self, tokenizer: Tokenizer, labels: Sequence[str]) -> None:
        """Make the items of every split that has been read.

        Raises:
            InputError: a label that is not among `labels`, or an example that cannot be shown to the model.
        """
        self.tokenizer = tokenizer
        for split, found in self.examples.items():
            examples = with_whole_tokens(found, tokenizer)
            before = Counter(self.features.counts)
            items = self.features.items(examples, tokenizer, labels)
            self.encoding_counts[split] = self.features.counts - before
            if not items:
                raise InputError(
                    f"task.data.{split.replace('_', '.', 1)}: none of its {counted(len(examples), 'rows')} can be used"
                )
            self.splits[split] = Split(examples, items)
            if split == "train" and len(weights := getattr(self.source, "set_weights", ())) > 1:
                sets = np.array([getattr(examples[item.example], "set", 0) for item in items])
                mix = SetMix(numbers=sets, weights=weights, alike=getattr(self.source, "batches", "") == "alike")
                self.batching = replace(self.batching, sets=mix)

    @property
    def dev_splits(self) -> list[str]:
        """The splits of evaluation during training, in order."""
        return [split for split in self.splits if split.startswith("dev")]

    def steps(self, epochs: float) -> int:
        """Optimizer steps of this many epochs, at least one."""
        return max(1, math.ceil(epochs * len(self.batching.batches(self._lengths("train"), 0))))

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Of each split, for people who want to know what a run learned from."""
        return {
            name: {"examples": len(split.examples), "items": len(split.items), "tokens": int(self._lengths(name).sum())}
            for name, split in self.splits.items()
        }

    @property
    def tokens_in_epoch(self) -> int:
        """Of the training split."""
        return int(self._lengths("train").sum())

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about this many tokens; one for `whole_batches`."""
        if getattr(self.features, "whole_batches", False):
            return 1
        return max(1, -(-self.batching.most_tokens(self._lengths("train")) // (micro_batch_tokens * ranks)))

    def _lengths(self, split: str) -> np.ndarray:
        return np.array([item.num_tokens for item in self.splits[split].items])

    def train_dataloader(self) -> TaskLoader:
        """The walk over the training split for this rank."""
        trainer = self.trainer
        if trainer is None:
            return TaskLoader(self.splits["train"].items, self.batching, training_batches=self.training_batches)
        recount_micro_batches(trainer)
        return TaskLoader(
            self.splits["train"].items,
            self.batching,
            training_batches=self.training_batches,
            accumulation=trainer.accumulate_grad_batches,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
            frozen=self.frozen.get("train"),
            batches_done=lambda: trainer.global_step,
        )

    def val_dataloader(self) -> list[EvaluationLoader]:
        """One loader a dev split."""
        return [self.evaluation_loader(split) for split in self.dev_splits]

    def evaluation_loader(self, split: str) -> EvaluationLoader:
        """Every item of a split once, this rank's share of them."""
        rank, ranks = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return EvaluationLoader(
            self.splits[split].items,
            max_tokens=self.evaluation_tokens,
            rank=rank,
            ranks=ranks,
            frozen=self.frozen.get(split),
        )
