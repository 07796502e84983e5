"""The objective of BERT and its successors: masked tokens and sentence pairs."""

import math
from dataclasses import dataclass, replace

import numpy as np

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.learnable import unlearnable_masks
from cloze.data.pretraining.masking import NONE_SPARED, Masking, Vocabulary, num_to_predict
from cloze.data.pretraining.objective import Objective
from cloze.data.pretraining.packing import StaticShape, count_masked, pack
from cloze.data.pretraining.plan import Plan, Sequences
from cloze.data.pretraining.settings import MASKINGS, MaskedLMSettings
from cloze.text.shards import Shard
from cloze.text.special_tokens import NO_MASK, SpecialTokens

HELDOUT_MASK_RATE = 0.15
"""Held-out losses are comparable only at one rate."""


@dataclass(frozen=True, kw_only=True)
class MaskedLM(MaskedLMSettings, Objective[PretrainingBatch]):
    """Masked language model and sentence pairs; the defaults are BERT's (Devlin et al. 2019, appendix A.2)."""

    @property
    def follows_position(self) -> bool:
        return self.final_mask_rate is not None

    def masking_at(self, position: float) -> Masking:
        """How to mask there, as compiled code takes it."""
        return Masking(
            MASKINGS.index(self.masking),
            self.mask_rate_at(position),
            self.most_predictions,
            self.mask_token_share,
            self.random_token_share,
        )

    def counts(self, sequences: Sequences) -> tuple[int, int, int]:
        """Tokens to predict, sequences with a label, all tokens; each at least 1, because losses are divided by it."""
        masked = count_masked(self._maskable(sequences), self.masking_at(sequences.position))
        pairs = int(np.count_nonzero(sequences.pair_labels != IGNORED_LABEL))
        return max(masked, 1), max(pairs, 1), max(int(sequences.lengths.sum()), 1)

    def batch(self, sequences: Sequences, counts: tuple[int, ...], shape: StaticShape | None) -> PretrainingBatch:
        """The masked sequences."""
        masked, pairs, tokens = counts
        return pack(
            self._maskable(sequences),
            self.masking_at(sequences.position),
            max_length=self.max_length,
            global_masked=masked,
            global_pairs=pairs,
            global_tokens=tokens,
            static=shape,
            predictions=shape.predictions(self.highest_mask_rate) if shape else 1,
        )

    def _maskable(self, sequences: Sequences) -> Sequences:
        """The sequences with a vocabulary that spares the tokens that are not to be masked."""
        if not self.mask_special_tokens:
            return sequences
        return sequences._replace(vocabulary=sequences.vocabulary._replace(spared=NONE_SPARED))

    def unsuited(self, special: SpecialTokens, *, has_words: bool) -> str | None:
        """Without a mask token nothing is masked, and without words no words are."""
        if special.mask is None:
            return NO_MASK
        if self.masking != "token" and not has_words:
            return (
                f"does not tell where words begin, as objective.masking={self.masking} asks: take "
                "objective.masking=token, or let a segmenter find the words with preparation.words=icu, or jieba"
            )
        return None

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
