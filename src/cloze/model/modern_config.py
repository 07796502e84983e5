"""The shape of a ModernBERT, in the names of its ``config.json``; light to import."""

from dataclasses import dataclass
from typing import Literal

from cloze.model.config import MAXIMA, check_rates, check_spreads

FULL, SLIDING = "full_attention", "sliding_attention"
Activation = Literal["gelu", "silu", "relu"]


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """The shape of a ModernBERT encoder; the defaults are ModernBERT-base (Warner et al. 2024, table 4).

    Attributes:
        vocab_size: V, the number of tokens.
        hidden_size: D, the width of every hidden state.
        num_hidden_layers: the number of Transformer blocks.
        num_attention_heads: H; each head has K = D / H dimensions.
        intermediate_size: the width of the feed-forward layer, behind its gate.
        max_position_embeddings: the longest sequence; positions are rotary, so that it costs no parameters.
        hidden_activation: of the gate of the feed-forward layer.
        layer_types: of each block ``full_attention`` or ``sliding_attention``; None for ``full_attention`` in the
            first and every ``global_attn_every_n_layers``-th block after it.
        global_attn_every_n_layers: the distance of the blocks with full attention.
        local_attention: the window of the other blocks: a token sees half of this to either side.
        global_rope_theta: the base of the rotary positions of full attention (Su et al. 2021, section 3.2).
        local_rope_theta: the same in a window.
        attention_bias: whether the linear layers of attention have a bias.
        mlp_bias: whether those of the feed-forward layer have one.
        norm_bias: whether LayerNorm has one.
        decoder_bias: whether the decoder of the masked language model has one.
        classifier_bias: whether the dense layer before a decoder or a classifier has one.
        classifier_activation: of that layer.
        classifier_pooling: what stands for a whole sequence: its first hidden state, or the mean of all.
        norm_eps: epsilon of every LayerNorm.
        embedding_dropout: dropout on the embeddings.
        hidden_dropout_prob: dropout on the output of each sub-layer, ``mlp_dropout`` in ``config.json``.
        attention_probs_dropout_prob: dropout on the attention probabilities, ``attention_dropout`` in ``config.json``.
        initializer_range: standard deviation of the truncated-normal initialisation; what is added to the hidden states
            has 1 / sqrt(2 L) of it in an encoder of L blocks.
        initializer_cutoff_factor: of how many standard deviations it is truncated.

    Raises:
        ValueError: where no encoder can have this shape.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    intermediate_size: int = 1152
    max_position_embeddings: int = 8192
    hidden_activation: Activation = "gelu"
    layer_types: list[str] | None = None
    global_attn_every_n_layers: int = 3
    local_attention: int = 128
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    decoder_bias: bool = True
    classifier_bias: bool = False
    classifier_activation: Activation = "gelu"
    classifier_pooling: Literal["cls", "mean"] = "mean"
    norm_eps: float = 1e-5
    embedding_dropout: float = 0.0
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0

    def __post_init__(self) -> None:
        counts = (
            *(name for name in MAXIMA if name != "type_vocab_size"),
            "global_attn_every_n_layers",
            "local_attention",
        )
        for name in counts:
            most = MAXIMA.get(name, 2**31 - 1)
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}={getattr(self, name)}: it must be from 1 to {most:,}")
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
        check_rates(self, "embedding_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob")
        check_spreads(self, "initializer_range", "norm_eps")
        for name in ("global_rope_theta", "local_rope_theta", "initializer_cutoff_factor"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}={getattr(self, name)}: it must be above 0")

    @property
    def kinds(self) -> list[str]:
        """The attention of each block."""
        return self.layer_types or []

    @property
    def type_vocab_size(self) -> int:
        """Both texts of a pair are read alike."""
        return 1

    def window(self, layer: int) -> int | None:
        """How far a token sees to either side; None for all of its sequence."""
        return self.local_attention // 2 if self.kinds[layer] == SLIDING else None

    def rope_theta(self, layer: int) -> float:
        """The base of the rotary positions."""
        return self.local_rope_theta if self.kinds[layer] == SLIDING else self.global_rope_theta
