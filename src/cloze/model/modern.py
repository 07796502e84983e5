"""ModernBERT as published (Warner et al. 2024, section 2.1), with the heads of its classes in transformers.

Norms before the sub-layers and one after the last, rotary positions, full attention in every third block and a window
in the others, gated feed-forward layers, no biases. Ettin and mmBERT are shapes of it. Tokens are packed. The config is
in ``cloze.model.modern_config``, which imports no torch. Legend for shapes: see ``cloze.batch``.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.encoder import Block, Encoder
from cloze.model.heads import MaskedLM, PretrainingModel, first_vectors
from cloze.model.kernels.attention import Padded, Sequences, attend, attention_weights
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.gated import gated
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm
from cloze.model.kernels.packed import PackedLinear
from cloze.model.kernels.reference import band
from cloze.model.kernels.rotary import rotated, rotation
from cloze.model.modern_config import Activation, ModernBertConfig

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}


def norm(config: ModernBertConfig) -> LayerNorm:
    """A LayerNorm of the width of the hidden states."""
    return LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class Embeddings(nn.Module):
    """The tokens' embeddings, normalised; positions come in with attention."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = norm(config)
        self.dropout = Dropout(config.embedding_dropout)

    def forward(self, sequences: Sequences) -> Tensor:
        """(N,) ids -> (N, D), or (B, T) -> (B, T, D)."""
        return self.dropout(self.norm(self.word_embeddings(sequences.input_ids)))  # type: ignore[no-any-return]


class RotaryAttention(nn.Module):
    """Self-attention over all of a sequence or a window in it, with rotary positions.

    Attributes:
        kernel: the name of what ``attend`` takes.
    """

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.kernel = "auto"
        self.num_attention_heads = config.num_attention_heads
        self.window, self.theta = config.window(layer), config.rope_theta(layer)
        self.dropout_prob = config.attention_probs_dropout_prob
        hidden, bias = config.hidden_size, config.attention_bias
        self.query_key_value: nn.Module = Linear(hidden, 3 * hidden, bias=bias)
        self.output: nn.Module = Linear(hidden, hidden, bias=bias)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """Mix the hidden states of each sequence: (N, D) -> (N, D), or (B, T, D) -> (B, T, D)."""
        dropout = self.dropout_prob if self.training else 0.0
        mixed = attend(self.projected(hidden, sequences), sequences, dropout, self.kernel, self.window)
        return self.output(mixed.flatten(-2))  # type: ignore[no-any-return]

    def projected(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """Queries and keys, turned, and values: (..., D) -> (..., 3, H, K)."""
        qkv = self.query_key_value(hidden).unflatten(-1, (3, self.num_attention_heads, -1))
        cos, sin = rotation(sequences.position_ids, qkv.shape[-1], self.theta)
        if isinstance(sequences, Padded):  # whose rows share the positions
            cos, sin = (part.expand(*qkv.shape[:-3], -1) for part in (cos, sin))
        return rotated(qkv, cos, sin)


class GatedFeedForward(nn.Module):
    """GeGLU (Shazeer 2020): one half of the first layer, activated, gates the other."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_activation]
        hidden, wide, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.intermediate: nn.Module = Linear(hidden, 2 * wide, bias=bias)
        self.output: nn.Module = Linear(wide, hidden, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.output(gated(self.intermediate(hidden), self.activation))  # type: ignore[no-any-return]


class ModernBlock(Block):
    """One Transformer block: attention and feed-forward, each of normalised hidden states and added to these."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = norm(config) if layer else nn.Identity()  # the embeddings are normalised
        self.attention = RotaryAttention(config, layer)
        self.feed_forward_norm = norm(config)
        self.feed_forward = GatedFeedForward(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) -> (N, D), or (B, T, D) -> (B, T, D)."""
        hidden = self.dropout(self.attention(self.attention_norm(hidden), sequences), residual=hidden)
        return self.dropout(self.feed_forward(self.feed_forward_norm(hidden)), residual=hidden)  # type: ignore[no-any-return]

    def use_kernel(self, kernel: str) -> None:
        """Let the attention take this kernel."""
        self.attention.kernel = kernel

    def attention_weights(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(T, D) of one sequence -> (H, T, T) fp32."""
        qkv = self.attention.projected(self.attention_norm(hidden), packed)
        query, key, _ = qkv.movedim(0, 2).float().unbind(0)  # (H, T, K)
        seen = band(len(hidden), self.attention.window, query)
        return attention_weights(query, key, 0.0 if seen is None else seen)

    def pack(self) -> None:
        """Replace the linear layers by those for inference."""
        attention, feed_forward = self.attention, self.feed_forward
        attention.query_key_value = PackedLinear(attention.query_key_value)
        attention.output = PackedLinear(attention.output)
        feed_forward.intermediate = PackedLinear(feed_forward.intermediate)
        feed_forward.output = PackedLinear(feed_forward.output)

    def matrices(self) -> dict[nn.Parameter, int]:
        """Queries, keys and values are three, the gate and what it gates two."""
        parts = {"attention.query_key_value.weight": 3, "feed_forward.intermediate.weight": 2}
        return {parameter: parts.get(name, 1) for name, parameter in self.named_parameters() if parameter.ndim == 2}


class ModernEncoder(Encoder):
    """Embeddings, the stack of blocks and the final norm."""

    def __init__(self, config: ModernBertConfig) -> None:
        blocks = (ModernBlock(config, layer) for layer in range(config.num_hidden_layers))
        super().__init__(config, Embeddings(config), blocks, norm(config))


class Transform(nn.Module):
    """What stands before a decoder or a classifier: a dense layer, its activation, and a norm.

    Args:
        config: the shape.
        pooling: of the hidden states of a sequence; None for each token by itself.
    """

    def __init__(self, config: ModernBertConfig, pooling: Literal["cls", "mean"] | None = None) -> None:
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.activation = ACTIVATIONS[config.classifier_activation]
        self.norm = norm(config)

    def forward(self, hidden: Tensor, sequences: Sequences | None = None) -> Tensor:
        """(N, D) or (B, T, D) -> (B, D); without pooling (..., D) -> (..., D)."""
        if self.pooling is not None:
            assert sequences is not None
            hidden = first_vectors(hidden, sequences) if self.pooling == "cls" else mean(hidden, sequences)
        return self.norm(self.activation(self.dense(hidden)))  # type: ignore[no-any-return]


def mean(hidden: Tensor, sequences: Sequences) -> Tensor:
    """The mean of the hidden states of each sequence, [CLS] and [SEP] among them: (N, D) or (B, T, D) -> (B, D)."""
    if isinstance(sequences, Padded):
        real = sequences.attention_mask[..., None].to(hidden.dtype)
        return (hidden * real).sum(1) / real.sum(1)
    lengths = sequences.cu_seqlens.diff().long()
    return torch.segment_reduce(hidden[: sequences.cu_seqlens[-1]], "mean", lengths=lengths, initial=0)


class MaskedLMHead(MaskedLM):
    """A transform of the hidden states at masked positions; the decoder is tied to the word embeddings."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.transform = Transform(config)
        bias = torch.zeros(config.vocab_size)
        if config.decoder_bias:
            self.decoder_bias = nn.Parameter(bias)
        else:
            self.register_buffer("decoder_bias", bias, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), ready for the tied decoder."""
        return self.transform(hidden)  # type: ignore[no-any-return]


class NextSentenceHead(nn.Module):
    """BERT's pooler and classifier of pairs, which no class of transformers has on such an encoder."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.classifier(torch.tanh(self.dense(first_vectors(hidden, sequences))))  # type: ignore[no-any-return]


class ModernBertForPreTraining(PretrainingModel):
    """The encoder with a head for masked tokens and one for pairs, initialised as published."""

    config: ModernBertConfig

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config, ModernEncoder(config))
        self.masked_lm_head = MaskedLMHead(config)
        self.next_sentence_head = NextSentenceHead(config)
        initialise(self, config)

    def next_sentence_logits(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.next_sentence_head(hidden, sequences)  # type: ignore[no-any-return]


def initialise(model: nn.Module, config: ModernBertConfig) -> None:
    """Truncated normal for every matrix, zero for every bias (``ModernBertPreTrainedModel._init_weights``).

    What is added to the hidden states, and the dense layer before a decoder or a classifier, is the smaller the more
    blocks there are; a classifier has a standard deviation of D ** -0.5.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Embedding):
            continue
        std = config.initializer_range
        if name.endswith((".output", ".dense")):
            std /= (2 * config.num_hidden_layers) ** 0.5
        elif name.endswith("classifier"):
            std = config.hidden_size**-0.5
        cutoff = config.initializer_cutoff_factor * std
        nn.init.trunc_normal_(module.weight, std=std, a=-cutoff, b=cutoff)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
