"""The shapes of the encoders with rotary positions, in the names of ModernBERT's ``config.json``; light to import."""

from dataclasses import dataclass
from typing import Literal

from cloze.model.config import check_counts, check_rates, check_spreads
from cloze.model.rope import Scaling, scaling

FULL, SLIDING = "full_attention", "sliding_attention"
Activation = Literal["gelu", "silu", "relu"]


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """The shape of a ModernBERT encoder; the defaults are ModernBERT-base (Warner et al. 2024, table 4).

    Other families have the same keys with other defaults. Any combination can be trained; one that no class of
    transformers computes is saved under a ``model_type`` of cloze's own.

    Attributes:
        vocab_size: V, the number of tokens.
        hidden_size: D, the width of every hidden state.
        num_hidden_layers: the number of Transformer blocks.
        num_attention_heads: H; each head has K = D / H dimensions.
        intermediate_size: the width of the feed-forward layer, behind its gate.
        max_position_embeddings: the longest sequence; positions are rotary, so that it costs no parameters.
        type_vocab_size: the number of segments (A and B); 0 reads both texts of a pair alike.
        hidden_activation: of the feed-forward layer, where it has a gate of that.
        gated_mlp: whether a half of the first feed-forward layer gates the other (Shazeer 2020).
        layer_types: of each block ``full_attention`` or ``sliding_attention``; None for ``full_attention`` in the
            first and every ``global_attn_every_n_layers``-th block after it.
        global_attn_every_n_layers: the distance of the blocks with full attention.
        local_attention: the window of the other blocks: a token sees half of this to either side.
        global_rope_theta: the base of the rotary positions of full attention (Su et al. 2021, section 3.2).
        local_rope_theta: the same in a window.
        global_rope_scaling: how the positions of full attention reach beyond the trained lengths: None, or the keys of
            ``rope_parameters``, as ``{rope_type: yarn, factor: 8, original_max_position_embeddings: 1024}``.
        local_rope_scaling: the same in a window.
        norm_type: LayerNorm, or RMSNorm (Zhang & Sennrich 2019).
        pre_norm: whether a block normalises what its sub-layers read; else, as in BERT, what they and the residual are.
        embedding_norm: whether the embeddings are normalised.
        first_norm: whether the first block normalises what its attention reads, where blocks do that.
        final_norm: whether the hidden states are normalised after the last block.
        attention_bias: whether the linear layers of attention have a bias.
        mlp_bias: whether those of the feed-forward layer have one.
        norm_bias: whether LayerNorm has one.
        masked_lm_transform: whether a dense layer, an activation and a norm stand before the decoder.
        tie_word_embeddings: whether the decoder's weight is the word embeddings.
        decoder_bias: whether the decoder of the masked language model has a bias.
        classifier_bias: whether the dense layer before a decoder or a classifier has one.
        classifier_activation: of that layer.
        classifier_pooling: what stands for a whole sequence: its first hidden state, the mean of all, or ``late``: the
            mean of what the dense layer makes of each.
        norm_eps: epsilon of every norm.
        embedding_dropout: dropout on the embeddings.
        hidden_dropout_prob: dropout on the output of each sub-layer, ModernBERT's ``mlp_dropout``.
        attention_probs_dropout_prob: dropout on the attention probabilities, ModernBERT's ``attention_dropout``.
        attention_output_dropout: dropout on the output of attention in place of `hidden_dropout_prob`; ModernBERT was
            trained with 0.1 (Warner et al. 2024, table 3). Of a run alone: ``config.json`` has no key for it.
        initializer_range: standard deviation of the normal initialisation.
        initializer_cutoff_factor: of how many standard deviations that is truncated; None does not truncate.
        depth_scaled_initializer: whether what is added to the hidden states has 1 / sqrt(2 L) of the standard deviation
            in an encoder of L blocks, and a classifier one of 1 / sqrt(D).

    Raises:
        ValueError: where no encoder can have this shape.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    intermediate_size: int = 1152
    max_position_embeddings: int = 8192
    type_vocab_size: int = 0
    hidden_activation: Activation = "gelu"
    gated_mlp: bool = True
    layer_types: list[str] | None = None
    global_attn_every_n_layers: int = 3
    local_attention: int = 128
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0
    global_rope_scaling: dict[str, float | str] | None = None
    local_rope_scaling: dict[str, float | str] | None = None
    norm_type: Literal["layer", "rms"] = "layer"
    pre_norm: bool = True
    embedding_norm: bool = True
    first_norm: bool = False
    final_norm: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    masked_lm_transform: bool = True
    tie_word_embeddings: bool = True
    decoder_bias: bool = True
    classifier_bias: bool = False
    classifier_activation: Activation = "gelu"
    classifier_pooling: Literal["cls", "mean", "late"] = "mean"
    norm_eps: float = 1e-5
    embedding_dropout: float = 0.0
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    attention_output_dropout: float | None = None
    initializer_range: float = 0.02
    initializer_cutoff_factor: float | None = 2.0
    depth_scaled_initializer: bool = True

    def __post_init__(self) -> None:
        check_counts(
            self, "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "global_attn_every_n_layers", "local_attention",
        )  # fmt: skip
        check_counts(self, "type_vocab_size", least=0)
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared evenly by num_attention_heads="
                f"{self.num_attention_heads}: choose a multiple; a head's size must be even for rotary positions"
            )
        if self.layer_types is None:
            kinds = [SLIDING if i % self.global_attn_every_n_layers else FULL for i in range(self.num_hidden_layers)]
            object.__setattr__(self, "layer_types", kinds)
        if len(self.kinds) != self.num_hidden_layers or {*self.kinds} - {FULL, SLIDING}:
            raise ValueError(
                f"layer_types={self.layer_types}: it must be {FULL} or {SLIDING} for each of the "
                f"{self.num_hidden_layers} layers"
            )
        if self.norm_type == "rms" and self.norm_bias:
            raise ValueError("norm_bias=true: an RMSNorm has no bias; leave norm_bias or norm_type=rms out")
        if self.tie_word_embeddings and not self.masked_lm_transform and not self.decoder_bias:
            raise ValueError(
                "tie_word_embeddings=true with neither masked_lm_transform nor decoder_bias leaves a masked-LM head "
                "without parameters: set one of them to true, or tie_word_embeddings to false"
            )
        check_rates(self, "embedding_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob")
        if self.attention_output_dropout is not None:
            check_rates(self, "attention_output_dropout")
        check_spreads(self, "initializer_range", "norm_eps")
        for name in ("global_rope_theta", "local_rope_theta", "initializer_cutoff_factor"):
            if (value := getattr(self, name)) is not None and not value > 0.0:
                raise ValueError(f"{name}={value}: it must be above 0")
        for name in ("global_rope_scaling", "local_rope_scaling"):
            scaling(getattr(self, name), name)

    @property
    def kinds(self) -> list[str]:
        """The attention of each block."""
        return self.layer_types or []

    def window(self, layer: int) -> int | None:
        """How far a token sees to either side; None for all of its sequence."""
        return self.local_attention // 2 if self.kinds[layer] == SLIDING else None

    def rope(self, layer: int) -> tuple[float, Scaling | None]:
        """The base of the rotary positions, and how they are stretched."""
        if self.kinds[layer] == SLIDING:
            return self.local_rope_theta, scaling(self.local_rope_scaling, "local_rope_scaling")
        return self.global_rope_theta, scaling(self.global_rope_scaling, "global_rope_scaling")


@dataclass(frozen=True, kw_only=True)
class EuroBertConfig(ModernBertConfig):
    """The shape of a EuroBERT encoder; the defaults are EuroBERT-210m (Boizard et al. 2025, table 1)."""

    num_hidden_layers: int = 12
    intermediate_size: int = 3072
    hidden_activation: Activation = "silu"
    global_attn_every_n_layers: int = 1
    global_rope_theta: float = 250_000.0
    norm_type: Literal["layer", "rms"] = "rms"
    embedding_norm: bool = False
    first_norm: bool = True
    masked_lm_transform: bool = False
    tie_word_embeddings: bool = False
    decoder_bias: bool = False
    classifier_bias: bool = True
    classifier_pooling: Literal["cls", "mean", "late"] = "late"
    initializer_cutoff_factor: float | None = None
    depth_scaled_initializer: bool = False


@dataclass(frozen=True, kw_only=True)
class NomicBertConfig(ModernBertConfig):
    """The shape of a NomicBERT encoder; the defaults are nomic-bert-2048 (Nussbaum et al. 2024, section 3.1)."""

    num_hidden_layers: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 2048
    type_vocab_size: int = 2
    hidden_activation: Activation = "silu"
    global_attn_every_n_layers: int = 1
    global_rope_theta: float = 1000.0
    pre_norm: bool = False
    first_norm: bool = True
    final_norm: bool = False
    norm_bias: bool = True
    classifier_bias: bool = True
    classifier_activation: Activation = "silu"
    classifier_pooling: Literal["cls", "mean", "late"] = "cls"
    norm_eps: float = 1e-12
    initializer_cutoff_factor: float | None = None
    depth_scaled_initializer: bool = False
