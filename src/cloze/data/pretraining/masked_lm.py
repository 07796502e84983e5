"""The objective of BERT and its successors: masked tokens, and a question about the pair of segments."""

import math
from dataclasses import dataclass, replace

import numpy as np

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.learnable import unlearnable_masks
from cloze.data.pretraining.masking import MASKINGS, Masking, Vocabulary, num_to_predict
from cloze.data.pretraining.objective import Objective
from cloze.data.pretraining.packing import StaticShape, count_masked, pack
from cloze.data.pretraining.pairs import check_choice, check_share
from cloze.data.pretraining.plan import Plan, Sequences
from cloze.errors import InputError
from cloze.text.shards import Shard

HELDOUT_MASK_RATE = 0.15
"""Held-out losses are comparable only at one rate."""


@dataclass(frozen=True, kw_only=True)
class MaskedLM(Objective[PretrainingBatch]):
    """Masked language model and sentence pairs; the defaults are BERT's (Devlin et al. 2019, appendix A.2).

    Attributes:
        masking: ``token``, ``whole_word`` (all pieces of a word or none) or ``span`` (runs of words; SpanBERT, Joshi
            et al. 2020).
        mask_rate: share of a sequence's tokens to predict, at the beginning of training.
        final_mask_rate: the share at the end, with a straight line between; None for the same all along.
        mask_token_share: of the tokens to predict, the share that becomes [MASK].
        random_token_share: the share that becomes a random token; the rest stays as it is.
        max_predictions: the most tokens to predict in one sequence; None for as many as the mask rate asks of a full
            sequence (20 at length 128, 80 at 512).

    Raises:
        InputError: for a value outside its range.
    """

    pairs: str = "next_sentence"
    masking: str = "token"
    mask_rate: float = 0.15
    final_mask_rate: float | None = None
    mask_token_share: float = 0.8
    random_token_share: float = 0.1
    max_predictions: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("masking", self.masking, MASKINGS)
        check_share("mask_token_share", self.mask_token_share)
        check_share("random_token_share", self.random_token_share)
        if self.mask_token_share + self.random_token_share > 1 + 1e-9:
            raise InputError(
                f"objective.mask_token_share={self.mask_token_share} and objective.random_token_share="
                f"{self.random_token_share}: expected shares that sum to at most 1"
            )
        for name in ("mask_rate", "final_mask_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < 1:
                raise InputError(f"objective.{name}={rate}: expected a rate between 0 and 1")
        if self.max_predictions is not None and self.max_predictions < 1:
            raise InputError(f"objective.max_predictions={self.max_predictions}: expected at least 1, or null")

    @property
    def highest_mask_rate(self) -> float:
        return max(self.mask_rate, self.final_mask_rate or 0.0)

    @property
    def most_predictions(self) -> int:
        """``max_predictions``, or what the highest mask rate asks of a full sequence, rounded up to a multiple of 4."""
        return self.max_predictions or 4 * math.ceil(math.ceil(self.highest_mask_rate * self.max_length) / 4)

    @property
    def follows_position(self) -> bool:
        return self.final_mask_rate is not None

    def mask_rate_at(self, position: float) -> float:
        """The mask rate at a position of training, from 0 (beginning) to 1 (end)."""
        if self.final_mask_rate is None:
            return self.mask_rate
        return self.mask_rate + min(max(position, 0.0), 1.0) * (self.final_mask_rate - self.mask_rate)

    def masking_at(self, position: float) -> Masking:
        """How to mask there, as compiled code takes it."""
        return Masking(
            MASKINGS.index(self.masking),
            self.mask_rate_at(position),
            self.most_predictions,
            self.mask_token_share,
            self.random_token_share,
        )

    def counts(self, sequences: Sequences) -> tuple[int, int]:
        """Tokens to predict, and sequences with a label; each at least 1, because a sum of losses is divided by it."""
        masked = count_masked(sequences, self.masking_at(sequences.position))
        return max(masked, 1), max(int(np.count_nonzero(sequences.pair_labels != IGNORED_LABEL)), 1)

    def batch(self, sequences: Sequences, counts: tuple[int, ...], shape: StaticShape | None) -> PretrainingBatch:
        """The masked sequences."""
        masked, pairs = counts
        return pack(
            sequences,
            self.masking_at(sequences.position),
            max_length=self.max_length,
            global_masked=masked,
            global_pairs=pairs,
            static=shape,
            predictions=shape.predictions(self.highest_mask_rate) if shape else 1,
        )

    def heldout(self) -> "MaskedLM":
        """With the one mask rate of all evaluations."""
        return replace(self, mask_rate=HELDOUT_MASK_RATE, final_mask_rate=None)

    def warnings(self, shard: Shard, plan: Plan, vocabulary: Vocabulary) -> list[str]:
        """Of the pairs and of the masks."""
        most = num_to_predict(self.max_length, self.special_tokens, self.highest_mask_rate, self.most_predictions)
        masks = unlearnable_masks(shard, vocabulary, masking=self.masking, max_length=self.max_length, most=most)
        return [*super().warnings(shard, plan, vocabulary), *masks]

    def chance_loss(self, vocab_size: int) -> float:
        """Of a uniform guess at the token, and at the pair where there is one."""
        return math.log(vocab_size) + (0.0 if self.pairs == "none" else math.log(2))
