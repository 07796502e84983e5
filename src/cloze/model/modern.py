"""Encoders with rotary positions: ModernBERT as published (Warner et al. 2024, section 2.1), and its kin by switches.

ModernBERT has norms before the sub-layers and one after the last, full attention in every third block and a window in
the others, gated feed-forward layers, no biases; Ettin and mmBERT are shapes of it. What others do instead is in their
configs. Tokens are packed. The configs are in ``cloze.model.modern_config``, which imports no torch. Legend for
shapes: see ``cloze.batch``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.bert import FeedForward, SegmentEmbeddings
from cloze.model.config import EncoderConfig
from cloze.model.encoder import Block, Encoder
from cloze.model.heads import MaskedLM, PretrainingModel, first_vectors
from cloze.model.kernels.attention import Padded, Sequences, attend, attention_weights
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.gated import gated
from cloze.model.kernels.groups import band
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm, RMSNorm
from cloze.model.kernels.packed import PackedLinear
from cloze.model.kernels.rotary import rotated, rotation
from cloze.model.modern_config import Activation, ModernBertConfig

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}


def norm(config: ModernBertConfig) -> LayerNorm:
    """Of the width of the hidden states."""
    if config.norm_type == "rms":
        return RMSNorm(config.hidden_size, eps=config.norm_eps)
    return LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class Embeddings(nn.Module):
    """The embeddings of tokens and segments; positions come in with attention."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        segments = config.type_vocab_size
        self.token_type_embeddings = SegmentEmbeddings(segments, config.hidden_size) if segments else None
        self.norm = norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.embedding_dropout)

    def forward(self, sequences: Sequences) -> Tensor:
        """(N,) ids -> (N, D), or (B, T) -> (B, T, D)."""
        embedded = self.word_embeddings(sequences.input_ids)
        if self.token_type_embeddings is not None:
            embedded = embedded + self.token_type_embeddings(sequences.token_type_ids)
        return self.dropout(self.norm(embedded))  # type: ignore[no-any-return]


class RotaryAttention(nn.Module):
    """Self-attention over all of a sequence or a window in it, with rotary positions.

    Attributes:
        kernel: the name of what ``attend`` takes.
    """

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.kernel = "auto"
        self.num_attention_heads = config.num_attention_heads
        self.window, self.rope = config.window(layer), config.rope(layer)
        self.dropout_prob = config.attention_probs_dropout_prob
        hidden, bias = config.hidden_size, config.attention_bias
        self.query_key_value: nn.Module = Linear(hidden, 3 * hidden, bias=bias)
        self.output: nn.Module = Linear(hidden, hidden, bias=bias)

    def forward(self, hidden: Tensor, sequences: Sequences, rows: Tensor | None = None) -> Tensor:
        """Mix the hidden states of each sequence: (N, D) -> (N, D), with rows (R, D), or (B, T, D) -> (B, T, D)."""
        dropout = self.dropout_prob if self.training else 0.0
        mixed = attend(self.projected(hidden, sequences), sequences, dropout, self.kernel, self.window, rows)
        return self.output(mixed.flatten(-2))  # type: ignore[no-any-return]

    def projected(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """Queries and keys, turned, and values: (..., D) -> (..., 3, H, K)."""
        qkv = self.query_key_value(hidden).unflatten(-1, (3, self.num_attention_heads, -1))
        cos, sin = rotation(sequences.position_ids, qkv.shape[-1], *self.rope)
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

    def pack(self) -> None:
        """Replace the linear layers by those for inference."""
        self.intermediate, self.output = PackedLinear(self.intermediate), PackedLinear(self.output)


def feed_forward(config: ModernBertConfig) -> GatedFeedForward | FeedForward:
    """With a gate or without one."""
    if config.gated_mlp:
        return GatedFeedForward(config)
    return FeedForward(config, ACTIVATIONS[config.hidden_activation], bias=config.mlp_bias)


class ModernBlock(Block):
    """One Transformer block: attention and feed-forward, each added to what it has read.

    Norms stand before the sub-layers, whose sum with the hidden states is left as it is, or after the sum.
    """

    takes_rows = True

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        first = layer == 0 and config.pre_norm and not config.first_norm  # whose embeddings are normalised
        self.attention_norm = nn.Identity() if first else norm(config)
        self.attention = RotaryAttention(config, layer)
        self.feed_forward_norm = norm(config)
        self.feed_forward = feed_forward(config)
        self.dropout, output = Dropout(config.hidden_dropout_prob), config.attention_output_dropout
        self.attention_dropout = self.dropout if output is None else Dropout(output)

    def forward(self, hidden: Tensor, sequences: Sequences, rows: Tensor | None = None) -> Tensor:
        """(N, D) -> (N, D), with rows (R, D), or (B, T, D) -> (B, T, D)."""
        residual = hidden if rows is None else hidden[rows]
        if self.pre_norm:
            mixed = self.attention(self.attention_norm(hidden), sequences, rows)
            hidden = self.attention_dropout(mixed, residual=residual)
            return self.dropout(self.feed_forward(self.feed_forward_norm(hidden)), residual=hidden)  # type: ignore[no-any-return]
        mixed = self.attention(hidden, sequences, rows)
        hidden = self.attention_norm(self.attention_dropout(mixed, residual=residual))
        return self.feed_forward_norm(self.dropout(self.feed_forward(hidden), residual=hidden))  # type: ignore[no-any-return]

    def use_kernel(self, kernel: str) -> None:
        """Let the attention take this kernel."""
        self.attention.kernel = kernel

    def turn_by(self, config: EncoderConfig, layer: int) -> None:
        """Take the base of the rotary positions of a layer."""
        assert isinstance(config, ModernBertConfig)
        self.attention.rope = config.rope(layer)

    def queries_keys_values(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(N, D) -> (N, 3, H, K), queries and keys turned by their positions."""
        return self.attention.projected(self.attention_norm(hidden) if self.pre_norm else hidden, packed)

    def attention_weights(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(T, D) of one sequence -> (H, T, T) fp32."""
        query, key, _ = self.queries_keys_values(hidden, packed).movedim(0, 2).float().unbind(0)  # (H, T, K)
        seen = band(len(hidden), self.attention.window, query)
        return attention_weights(query, key, 0.0 if seen is None else seen)

    def pack(self) -> None:
        """Replace the linear layers by those for inference."""
        self.attention.query_key_value = PackedLinear(self.attention.query_key_value)
        self.attention.output = PackedLinear(self.attention.output)
        self.feed_forward.pack()

    def matrices(self) -> dict[nn.Parameter, int]:
        """Queries, keys and values are three, the gate and what it gates two."""
        gated = isinstance(self.feed_forward, GatedFeedForward)
        parts = {"attention.query_key_value.weight": 3, "feed_forward.intermediate.weight": 2 if gated else 1}
        return {parameter: parts.get(name, 1) for name, parameter in self.named_parameters() if parameter.ndim == 2}


class ModernEncoder(Encoder):
    """Embeddings, the stack of blocks and, where there is one, the final norm."""

    def __init__(self, config: ModernBertConfig) -> None:
        blocks = (ModernBlock(config, layer) for layer in range(config.num_hidden_layers))
        super().__init__(config, Embeddings(config), blocks, norm(config) if config.final_norm else None)


class Transform(nn.Module):
    """What stands before a decoder or a classifier: a dense layer, an activation, and a norm.

    Args:
        config: the shape.
        pooling: of a sequence before it, by its first hidden state or the mean of all, or ``late`` by the mean of what
            it makes of each; None for each token by itself.
        activation: in place of the shape's; there is no norm then.
    """

    def __init__(
        self,
        config: ModernBertConfig,
        pooling: str | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.activation = ACTIVATIONS[config.classifier_activation] if activation is None else activation
        self.norm = norm(config) if activation is None else nn.Identity()

    def forward(self, hidden: Tensor, sequences: Sequences | None = None) -> Tensor:
        """(N, D) or (B, T, D) -> (B, D); without pooling (..., D) -> (..., D)."""
        if self.pooling is None:
            return self.transformed(hidden)
        assert sequences is not None
        if self.pooling == "late":  # a classifier of the mean is the mean of its logits
            return mean(self.transformed(hidden), sequences)
        return self.transformed(first_vectors(hidden, sequences) if self.pooling == "cls" else mean(hidden, sequences))

    def transformed(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.norm(self.activation(self.dense(hidden)))  # type: ignore[no-any-return]


def mean(hidden: Tensor, sequences: Sequences) -> Tensor:
    """The mean of the hidden states of each sequence, [CLS] and [SEP] among them: (N, D) or (B, T, D) -> (B, D)."""
    if isinstance(sequences, Padded):
        real = sequences.attention_mask[..., None].to(hidden.dtype)
        return (hidden * real).sum(1) / real.sum(1)
    lengths = sequences.cu_seqlens.diff().long()
    return torch.segment_reduce(hidden[: sequences.cu_seqlens[-1]], "mean", lengths=lengths, initial=0)


class MaskedLMHead(MaskedLM):
    """A transform of the hidden states at masked positions, where there is one, and a decoder.

    Attributes:
        decoder: of its own; None where it is tied to the word embeddings.
    """

    decoder: nn.Linear | None

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.transform = Transform(config) if config.masked_lm_transform else nn.Identity()
        tied = config.tie_word_embeddings
        self.decoder = None if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.decoder_bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), ready for the decoder."""
        return self.transform(hidden)  # type: ignore[no-any-return]


class NextSentenceHead(nn.Module):
    """BERT's pooler and classifier of pairs, which no class of transformers has on such an encoder."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.classifier(torch.tanh(self.dense(first_vectors(hidden, sequences))))  # type: ignore[no-any-return]


class ModernBertForPreTraining(PretrainingModel):
    """The encoder with a head for masked tokens and one for pairs, initialised as published."""

    config: ModernBertConfig
    masked_lm_head: MaskedLMHead

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config, ModernEncoder(config))
        self.masked_lm_head = MaskedLMHead(config)
        self.next_sentence_head = NextSentenceHead(config)
        initialise(self, config)

    @property
    def decoder_weight(self) -> Tensor:
        """(V, D), the word embeddings or the decoder's own."""
        own = self.masked_lm_head.decoder
        return super().decoder_weight if own is None else own.weight

    @property
    def pairs_read_first(self) -> bool:
        """Their head does."""
        return True

    def next_sentence_logits(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.next_sentence_head(hidden, sequences)  # type: ignore[no-any-return]


def initialise(model: nn.Module, config: ModernBertConfig) -> None:
    """Normal for every matrix, perhaps truncated, zero for every bias (``ModernBertPreTrainedModel._init_weights``).

    Where it is scaled by depth, what is added to the hidden states, a decoder that is not tied, and the dense layer
    before a decoder or a classifier begin the smaller the more blocks there are, and a classifier has a standard
    deviation of D ** -0.5.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Embedding):
            continue
        std = config.initializer_range
        if config.depth_scaled_initializer and name.endswith((".output", ".dense", ".decoder")):
            std /= (2 * config.num_hidden_layers) ** 0.5
        elif config.depth_scaled_initializer and name.endswith("classifier"):
            std = config.hidden_size**-0.5
        if config.initializer_cutoff_factor is None:
            nn.init.normal_(module.weight, std=std)
        else:
            cutoff = config.initializer_cutoff_factor * std
            nn.init.trunc_normal_(module.weight, std=std, a=-cutoff, b=cutoff)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
