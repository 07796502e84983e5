"""The decoder of RetroMAE, which makes a text again of its embedding and of parts of itself.

Xiao et al. 2022, section 3.3 ("Enhanced Decoding"). Legend for shapes: see ``cloze.batch``; T is the longest length.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.bert import FeedForward, initialise
from cloze.model.config import BertConfig, EncoderConfig
from cloze.model.encoder import Encoder
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm

GAMMA = 0x9E3779B97F4A7C15 - 2**64
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
BITS = 24
"""Of a random number: as many as a share in fp32 has."""


class Places(NamedTuple):
    """Where each token stands.

    Attributes:
        row: (N,) its sequence.
        column: (N,) its place in that, from 0.
        lengths: (B,) of the sequences.
    """

    row: Tensor
    column: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, packed: Packed) -> "Places":
        """Those of packed tokens."""
        starts, lengths = packed.cu_seqlens[:-1].long(), packed.cu_seqlens.diff().long()
        device, tokens = starts.device, len(packed.input_ids)
        row = torch.arange(len(starts), device=device).repeat_interleave(lengths, output_size=tokens)
        return cls(row, torch.arange(tokens, device=device) - starts[row], lengths)

    @property
    def is_special(self) -> Tensor:
        """(N,) bool, whether it is the first token of its sequence, [CLS], or the last, [SEP]."""
        return (self.column == 0) | (self.column == self.lengths[self.row] - 1)


def sampled_context(keys: Tensor, places: Places, longest: int, rate: float) -> Tensor:
    """(B, T, T) bool, the tokens (last axis) from which each token (the axis before) is made again.

    Each token is hidden from each other one with the same chance, by a hash of the places of both, and always from
    itself; the embedding, which stands in the place of [CLS], and [SEP] are never hidden from others.

    Args:
        keys: (B,) int64, of the hashes of each sequence.
        places: of the tokens.
        longest: T.
        rate: the chance.
    """
    lengths = places.lengths[:, None, None]
    at = torch.arange(longest, device=keys.device)
    mixed = _mix(_mix(keys * GAMMA)[:, None, None] ^ ((at[:, None] << 32) | at))
    is_seen = _shifted(mixed, 64 - BITS) >= round(rate * 2**BITS)
    is_seen = (is_seen | (at == lengths - 1)) & (at[:, None] != at) & (at < lengths)
    found: Tensor = is_seen | (at == 0)
    return found


def _mix(value: Tensor) -> Tensor:
    """``cloze.data.splitmix.mix``, with two's complement for the missing unsigned integers."""
    value = (value ^ _shifted(value, 30)) * FIRST
    value = (value ^ _shifted(value, 27)) * SECOND
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    """To the right, with zeros from the left."""
    shifted: Tensor = (value >> bits) & ((1 << (64 - bits)) - 1)
    return shifted


class EnhancedDecoder(nn.Module):
    """One Transformer block with two streams: the queries know nothing but the embedding and where they stand.

    It is a block of BERT's, whatever the encoder. Positions are the encoder's, where it has learned ones of the width
    of its hidden states, otherwise the decoder's own.

    Args:
        config: of the encoder.
        encoder: of that shape.

    Attributes:
        config: its own shape.
        position_embeddings: its own; None where it takes the encoder's.
    """

    def __init__(self, config: EncoderConfig, encoder: Encoder) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=getattr(config, "intermediate_size", 4 * width),
            max_position_embeddings=config.max_position_embeddings,
            hidden_dropout_prob=config.hidden_dropout_prob,
            attention_probs_dropout_prob=config.attention_probs_dropout_prob,
            initializer_range=config.initializer_range,
        )
        theirs = getattr(encoder.embeddings, "position_embeddings", None)
        has_theirs = isinstance(theirs, nn.Embedding) and theirs.embedding_dim == width
        self.position_embeddings = None if has_theirs else nn.Embedding(config.max_position_embeddings, width)
        self.query = Linear(width, width)
        self.key_value = Linear(width, 2 * width)
        self.output = Linear(width, width)
        self.attention_norm = LayerNorm(width, eps=self.config.layer_norm_eps)
        self.feed_forward = FeedForward(self.config)
        self.feed_forward_norm = LayerNorm(width, eps=self.config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        initialise(self, self.config)

    def forward(self, sentence: Tensor, encoder: Encoder, packed: Packed, places: Places, context: Tensor) -> Tensor:
        """What stands for each token before the head of masked tokens, (N, D).

        Args:
            sentence: (B, D), the embeddings of the sequences, the hidden states of [CLS].
            encoder: whose embeddings it reads.
            packed: the sequences without masks.
            places: of their tokens.
            context: ``sampled_context``, (B, T, T).
        """
        own, of_token = self.position_embeddings, sentence[places.row]
        table = encoder.embeddings.position_embeddings if own is None else own
        positions = table(packed.position_ids)  # type: ignore[operator]
        read = encoder.embedded(packed) if own is None else encoder.embedded(packed) + positions
        read = torch.where((places.column == 0)[:, None], of_token.to(read.dtype), read)
        queries = of_token + positions
        shape = (*context.shape[:2], self.config.num_attention_heads, self.config.head_size)
        query, key, value = (
            self._in_rows(part, places, context).view(shape).transpose(1, 2)
            for part in (self.query(queries), *self.key_value(read).chunk(2, dim=-1))
        )
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, context[:, None], dropout)
        mixed = mixed.transpose(1, 2).flatten(2)[places.row, places.column]
        hidden = self.attention_norm(self.dropout(self.output(mixed), residual=queries))
        return self.feed_forward_norm(self.dropout(self.feed_forward(hidden), residual=hidden))  # type: ignore[no-any-return]

    @staticmethod
    def _in_rows(packed: Tensor, places: Places, context: Tensor) -> Tensor:
        """(N, D) as (B, T, D), zeros behind each sequence."""
        rows = packed.new_zeros(*context.shape[:2], packed.shape[-1])
        return rows.index_put((places.row, places.column), packed)
