"""The encoder as published: Devlin et al. 2019, section 3, on the Transformer of Vaswani et al. 2017, section 3.1.

Post-LayerNorm, learned positions, segment embeddings, exact GELU. Tokens are packed: no tensor here has padding.
Legend for shapes: see ``cloze.batch``.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cloze.batch import Packed
from cloze.model.attention import SelfAttention
from cloze.model.config import BertConfig
from cloze.model.dropout import Dropout
from cloze.model.linear import Linear
from cloze.model.norm import LayerNorm


class Embeddings(nn.Module):
    """The sum of the word piece's, the position's and the segment's vectors, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, packed: Packed) -> Tensor:
        """(N,) ids -> (N, D)."""
        # Segments are few: a product with their table has a far cheaper gradient than a scattered sum.
        segments = F.one_hot(self.segments(packed.token_type_ids), self.token_type_embeddings.num_embeddings)
        embedded = self.word_embeddings(packed.input_ids) + self.position_embeddings(packed.position_ids)
        embedded = embedded + segments.to(embedded.dtype) @ self.token_type_embeddings.weight
        return self.dropout(self.norm(embedded))  # type: ignore[no-any-return]

    def segments(self, token_type_ids: Tensor) -> Tensor:
        """Rows of their table, of the same shape: a model with one segment was trained with segment 0 throughout."""
        return token_type_ids.clamp(max=0) if self.token_type_embeddings.num_embeddings == 1 else token_type_ids


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU (Hendrycks & Gimpel 2016) between them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.intermediate = Linear(config.hidden_size, config.intermediate_size)
        self.output = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return self.output(F.gelu(self.intermediate(hidden)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One Transformer block: attention and feed-forward, each with dropout, residual and LayerNorm after it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(N, D) -> (N, D)."""
        hidden = self.attention_norm(self.dropout(self.attention(hidden, packed), residual=hidden))
        return self.feed_forward_norm(self.dropout(self.feed_forward(hidden), residual=hidden))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Embeddings and the stack of blocks.

    Attributes:
        gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations
            (Chen et al. 2016): less memory for about a third more time.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    def forward(self, packed: Packed) -> Tensor:
        """The vectors of the last layer, (N, D)."""
        return self.hidden_states(packed)[-1]

    def hidden_states(self, packed: Packed, num_blocks: int | None = None) -> list[Tensor]:
        """The vectors after the embeddings and after every block: num_hidden_layers + 1 tensors (N, D).

        Args:
            packed: the sequences.
            num_blocks: run so many lower blocks only.
        """
        states = [self.embeddings(packed)]
        for block in self.blocks[:num_blocks]:
            if self.gradient_checkpointing and self.training:
                states.append(checkpoint(block, states[-1], packed, use_reentrant=False))
            else:
                states.append(block(states[-1], packed))
        return states
