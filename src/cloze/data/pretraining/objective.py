"""The base class of pre-training objectives, the config node ``objective``."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cloze.batch import Packed, TokenBatch
from cloze.data.pretraining.learnable import unlearnable_pairs
from cloze.data.pretraining.masking import NO_MASKS, Vocabulary
from cloze.data.pretraining.packing import StaticShape, pack
from cloze.data.pretraining.pairs import Segments
from cloze.data.pretraining.plan import Plan, Sequences
from cloze.errors import InputError
from cloze.text.shards import Shard
from cloze.text.special_tokens import SpecialTokens
from cloze.text.word_boundaries import continues_word

B = TypeVar("B", bound=TokenBatch)


@dataclass(frozen=True, kw_only=True)
class Objective(Segments, ABC, Generic[B]):
    """Makes batches of its own type from sequences of the corpus; the module computes their loss.

    The order of the data, the global batches and their division over ranks and micro-batches are not its concern. What
    it makes is a pure function of the sequences, so that a run resumes exactly: random numbers come from
    ``Sequences.generators``. ``pairs``, ``max_length`` and ``short_sequence_rate`` say which segments of the text a
    sequence consists of.
    """

    @abstractmethod
    def counts(self, sequences: Sequences) -> tuple[int, ...]:
        """What the sum of the losses is divided by, counted over all sequences of a global batch.

        Every micro-batch gets the counts of its global batch, so that ranks and micro-batches change nothing but the
        order of summation.
        """

    @abstractmethod
    def batch(self, sequences: Sequences, counts: tuple[int, ...], shape: StaticShape | None) -> B:
        """One micro-batch.

        Args:
            sequences: of it; none where a global batch has fewer sequences than micro-batches.
            counts: those of the whole global batch.
            shape: the constants to fill up to, for compiled steps; None for no padding.
        """

    @property
    def follows_position(self) -> bool:
        """Whether batches depend on the position of training, which then needs a length in steps."""
        return False

    def unsuited(self, special: SpecialTokens, *, has_words: bool) -> str | None:
        """Why a tokenizer does not do for it, after "its tokenizer"; None where it does.

        Args:
            special: its special tokens.
            has_words: whether it tells which tokens continue a word.
        """
        return None

    def heldout(self) -> Self:
        """The objective of the evaluation: the same for all runs that are to be compared."""
        return self

    def warnings(self, shard: Shard, plan: Plan, vocabulary: Vocabulary) -> list[str]:
        """What it cannot learn from a text.

        Args:
            shard: the text of a window.
            plan: its sequences.
            vocabulary: of the tokenizer.
        """
        return unlearnable_pairs(shard, plan, self)

    def chance_loss(self, vocab_size: int) -> float | None:
        """The loss of a model that knows nothing, where that is known."""
        return None

    def packed(self, sequences: Sequences, shape: StaticShape | None) -> tuple[Packed, int]:
        """The sequences as they are, and how many of the tokens are real.

        Args:
            sequences: B of them.
            shape: fill up to these constants with sequences of [PAD], then empty ones. Without, only a micro-batch
                that got no sequence gets one of [PAD].
        """
        batch = pack(
            sequences,
            NO_MASKS,
            max_length=self.max_length,
            global_masked=1,
            global_pairs=1,
            global_tokens=1,
            static=shape,
        )
        return batch.packed, batch.num_tokens


def checked_words(
    objective: Objective[Any], tokenizer: Tokenizer, special: SpecialTokens, name: object, *, segmented: bool
) -> NDArray[np.bool_] | None:
    """`cloze.text.word_boundaries.continues_word` of a tokenizer that does for an objective.

    Args:
        objective: that reads its tokens.
        tokenizer: of the corpus, or to be that.
        special: its special tokens.
        name: where it is from, for the message.
        segmented: whether a segmenter tells the words.

    Raises:
        InputError: it does not do.
    """
    continues = continues_word(tokenizer)
    if (why := objective.unsuited(special, has_words=continues is not None or segmented)) is not None:
        raise InputError(f"{name}: its tokenizer {why}")
    return continues
