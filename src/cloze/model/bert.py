"""BERT as published: Devlin et al. 2019, section 3, on the encoder of Vaswani et al. 2017, section 3.1.

Post-LayerNorm, learned positions, segment embeddings, exact GELU; on it the two pre-training heads. Tokens are packed:
no tensor here has padding. The config is in ``cloze.model.config``, which imports no torch. Legend for shapes: see
``cloze.batch``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.config import BertConfig, EncoderConfig
from cloze.model.encoder import Block, Encoder
from cloze.model.heads import MaskedLM, PretrainingModel, first_vectors
from cloze.model.kernels.attention import Sequences, attend, attention_weights
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm
from cloze.model.kernels.packed import Activation, PackedLinear
from cloze.model.modern_config import ModernBertConfig


class SegmentEmbeddings(nn.Embedding):
    """What a segment adds to the embedding of a token."""

    def forward(self, token_type_ids: Tensor) -> Tensor:
        """(...,) -> (..., D); a model with one segment was trained with segment 0 throughout."""
        rows = token_type_ids.clamp(max=0) if self.num_embeddings == 1 else token_type_ids
        # Segments are few: a product with their table has a far cheaper gradient than a scattered sum.
        return F.one_hot(rows, self.num_embeddings).to(self.weight.dtype) @ self.weight


class Embeddings(nn.Module):
    """The sum of the token's, the position's and the segment's embeddings, normalised.

    Args:
        config: the shape.
        width: E, by default D.
    """

    def __init__(self, config: BertConfig, width: int | None = None) -> None:
        super().__init__()
        width = config.hidden_size if width is None else width
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = SegmentEmbeddings(config.type_vocab_size, width)
        self.norm = LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, sequences: Sequences) -> Tensor:
        """(N,) ids -> (N, E), or (B, T) -> (B, T, E)."""
        embedded = self.word_embeddings(sequences.input_ids) + self.position_embeddings(sequences.position_ids)
        return self.dropout(self.norm(embedded + self.token_type_embeddings(sequences.token_type_ids)))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2) with its output projection.

    Attributes:
        kernel: the name of what ``attend`` takes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.kernel = "auto"
        self.num_attention_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.query_key_value: nn.Module = Linear(config.hidden_size, 3 * config.hidden_size)
        self.output: nn.Module = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, sequences: Sequences, rows: Tensor | None = None) -> Tensor:
        """Mix the hidden states of each sequence: (N, D) -> (N, D), with rows (R, D), or (B, T, D) -> (B, T, D)."""
        dropout = self.dropout_prob if self.training else 0.0
        mixed = attend(self.projected(hidden), sequences, dropout, self.kernel, rows=rows)
        return self.output(mixed.flatten(-2))  # type: ignore[no-any-return]

    def projected(self, hidden: Tensor) -> Tensor:
        """Queries, keys and values: (..., D) -> (..., 3, H, K)."""
        return self.query_key_value(hidden).unflatten(-1, (3, self.num_attention_heads, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, by default the exact GELU (Hendrycks & Gimpel 2016)."""

    def __init__(
        self, config: BertConfig | ModernBertConfig, activation: Activation = F.gelu, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = activation
        self.intermediate: nn.Module = Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.output: nn.Module = Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.output(self.activation(self.intermediate(hidden)))  # type: ignore[no-any-return]

    def pack(self) -> None:
        """Replace the linear layers by those for inference, the first with the activation."""
        self.intermediate = PackedLinear(self.intermediate, self.activation)
        self.output = PackedLinear(self.output)
        self.activation = nn.Identity()


class BertBlock(Block):
    """One Transformer block: attention and feed-forward, each with dropout, residual and LayerNorm after it."""

    takes_rows = True

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, sequences: Sequences, rows: Tensor | None = None) -> Tensor:
        """(N, D) -> (N, D), with rows (R, D), or (B, T, D) -> (B, T, D)."""
        residual = hidden if rows is None else hidden[rows]
        hidden = self.attention_norm(self.dropout(self.attention(hidden, sequences, rows), residual=residual))
        return self.feed_forward_norm(self.dropout(self.feed_forward(hidden), residual=hidden))  # type: ignore[no-any-return]

    def use_kernel(self, kernel: str) -> None:
        """Let the attention take this kernel."""
        self.attention.kernel = kernel

    def queries_keys_values(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(N, D) -> (N, 3, H, K)."""
        return self.attention.projected(hidden).clone()  # no view: FSDP2 hangs its hook on it

    def attention_weights(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(T, D) of one sequence -> (H, T, T) fp32."""
        query, key, _ = self.queries_keys_values(hidden, packed).movedim(0, 2).float().unbind(0)  # (H, T, K)
        return attention_weights(query, key)

    def pack(self) -> None:
        """Replace the linear layers by those for inference."""
        self.attention.query_key_value = PackedLinear(self.attention.query_key_value)
        self.attention.output = PackedLinear(self.attention.output)
        self.feed_forward.pack()


class BertEncoder(Encoder):
    """Embeddings and the stack of blocks."""

    embeddings: Embeddings

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, Embeddings(config), (BertBlock(config) for _ in range(config.num_hidden_layers)))


class Pooler(nn.Module):
    """The hidden state of [CLS] through a dense layer and tanh, which stands for the whole sequence."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, D)."""
        return torch.tanh(self.dense(first_vectors(hidden, sequences)))


class MaskedLMHead(MaskedLM):
    """A transform of the hidden states at masked positions; the decoder is tied to the word embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), ready for the tied decoder."""
        return self.norm(F.gelu(self.dense(hidden)))  # type: ignore[no-any-return]


def initialise(model: nn.Module, config: BertConfig) -> None:
    """Truncated normal for every matrix, zero for every bias (google-research/bert, ``create_initializer``)."""
    std = config.initializer_range
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class BertForPreTraining(PretrainingModel):
    """Encoder, pooler and both heads, initialised as published.

    Args:
        config: the shape.
        encoder: makes the encoder of it; for an architecture that differs from BERT only there.
    """

    config: BertConfig

    def __init__(self, config: BertConfig, *, encoder: Callable[[BertConfig], Encoder] = BertEncoder) -> None:
        super().__init__(config, encoder(config))
        self.pooler = Pooler(config)
        self.masked_lm_head = MaskedLMHead(config)
        self.next_sentence_head = nn.Linear(config.hidden_size, 2)
        initialise(self, config)

    @property
    def pairs_read_first(self) -> bool:
        """As BERT's pooler does, in whose place another architecture may have one of its own."""
        return type(self.pooler) is Pooler

    def next_sentence_logits(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.next_sentence_head(self.pooler(hidden, sequences))  # type: ignore[no-any-return]
