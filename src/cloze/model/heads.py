"""What is pre-trained on masked tokens and pairs of texts, whatever the encoder. Legend: see ``cloze.batch``."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.encoder import EncoderWithHeads
from cloze.model.kernels.attention import Padded, Sequences


class PretrainingLogits(NamedTuple):
    """The logits of both heads: ``masked_lm`` (M, V) and ``next_sentence`` (B, 2)."""

    masked_lm: Tensor
    next_sentence: Tensor


class MaskedLM(nn.Module, ABC):
    """A transform of the hidden states at masked positions, and the bias of the decoder.

    Attributes:
        decoder_bias: (V,), or None.
    """

    decoder_bias: Tensor | None

    @abstractmethod
    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), ready for the decoder."""


class PretrainingModel(EncoderWithHeads, ABC):
    """An encoder with a head for masked tokens, whose decoder is tied to the word embeddings, and one for pairs."""

    entry_points: ClassVar[tuple[str, ...]] = ("heads", "hidden_and_heads")
    masked_lm_head: MaskedLM

    @property
    def pairs_read_first(self) -> bool:
        """Whether ``next_sentence_logits`` reads the hidden states of [CLS] alone, so that no others are needed."""
        return False

    @abstractmethod
    def next_sentence_logits(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""

    @property
    def decoder_weight(self) -> Tensor:
        """(V, D), the word embeddings."""
        return self.encoder.word_embeddings.weight

    @property
    def decoder_bias(self) -> Tensor:
        """(V,), zeros where there is none."""
        bias, weight = self.masked_lm_head.decoder_bias, self.decoder_weight
        return weight.new_zeros(len(weight)) if bias is None else bias

    def masked_lm_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return F.linear(self.masked_lm_head(hidden), self.decoder_weight, self.masked_lm_head.decoder_bias)

    def heads(self, packed: Packed, masked_positions: Tensor) -> tuple[Tensor, Tensor]:
        """What the masked-language-model head makes of ``masked_positions``, (M, D), and the logits (B, 2) of pairs.

        The first is ready for the decoder, whose (M, V) logits training never holds. Of the last layer only those
        hidden states are computed that the heads read.
        """
        if not self.pairs_read_first:
            hidden = self.encoder(packed)
            return self.masked_lm_head(hidden[masked_positions]), self.next_sentence_logits(hidden, packed)
        first = first_tokens(packed)
        hidden = self.encoder(packed, torch.cat([masked_positions, first]))
        masked, firsts = hidden.split([len(masked_positions), len(first)])
        bounds = torch.arange(len(first) + 1, dtype=torch.int32, device=first.device)
        ids, segments, positions = (column[first] for column in packed[:3])
        alone = Packed(ids, segments, positions, bounds, 1)  # [CLS], a sequence each
        return self.masked_lm_head(masked), self.next_sentence_logits(firsts, alone)

    def hidden_and_heads(
        self, packed: Packed, masked_positions: Tensor, layers: Sequence[int], *, apart: bool = False
    ) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        """The hidden states of all tokens in some layers, (N, D) each, by their numbers; and what ``heads`` returns.

        Args:
            packed: the sequences.
            masked_positions: (M,).
            layers: in ascending order, the last one at the end.
            apart: the masked-language-model head learns by itself: no gradient goes from it to what it reads.
        """
        hidden = dict(zip(layers, self.encoder(packed, layers=layers), strict=True))
        last = hidden[layers[-1]]
        masked = self.masked_lm_head((last.detach() if apart else last)[masked_positions])
        return hidden, masked, self.next_sentence_logits(last, packed)

    def forward(self, packed: Packed, masked_positions: Tensor) -> PretrainingLogits:
        """The logits of both heads; the masked-language-model head runs on ``masked_positions`` (M,) only."""
        masked, next_sentence = self.heads(packed, masked_positions)
        decoded = F.linear(masked, self.decoder_weight, self.masked_lm_head.decoder_bias)
        return PretrainingLogits(decoded, next_sentence)


def first_vectors(hidden: Tensor, sequences: Sequences) -> Tensor:
    """The hidden states of [CLS]: (N, D) or (B, T, D) -> (B, D)."""
    if isinstance(sequences, Padded):
        return hidden[:, 0]
    return hidden[first_tokens(sequences)]


def first_tokens(packed: Packed) -> Tensor:
    """(B,) where [CLS] lies; an empty sequence, which only pads B to a constant, may begin behind the last token."""
    return packed.cu_seqlens[:-1].long().clamp(max=len(packed.input_ids) - 1)
