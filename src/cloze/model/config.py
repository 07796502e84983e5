"""The configuration of an encoder, under the published names."""

from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Protocol

MAXIMA = {
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), 2**31 - 1),
    **dict.fromkeys(
        ("hidden_size", "intermediate_size", "embedding_size"), 2**20
    ),  # torch counts the bytes of a matrix in 63 bits
    **dict.fromkeys(("num_hidden_layers", "num_attention_heads", "type_vocab_size"), 4096),
}
"""The counts of a shape and the largest that are believed; each layer is an object, whatever its width."""


class EncoderConfig(Protocol):
    """The shape of an encoder, a frozen dataclass: what every architecture has, under the same names in all of them.

    What an architecture lacks is a property: one that reads both texts of a pair alike, as a model of transformers
    does that takes no ``token_type_ids``, has a ``type_vocab_size`` of 0.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def vocab_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def type_vocab_size(self) -> int: ...
    @property
    def hidden_dropout_prob(self) -> float: ...
    @property
    def attention_probs_dropout_prob(self) -> float: ...
    @property
    def initializer_range(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The shape of a BERT encoder; the defaults are BERT-Base (Devlin et al. 2019, section 3).

    Attributes:
        vocab_size: V, the number of tokens.
        hidden_size: D, the width of every hidden state.
        num_hidden_layers: the number of Transformer blocks.
        num_attention_heads: H; each head has K = D / H dimensions.
        intermediate_size: the width of the feed-forward layer, 4 D as published.
        max_position_embeddings: the longest sequence that the learned positions reach.
        type_vocab_size: the number of segments (A and B); with one, both texts of a pair are segment 0.
        hidden_dropout_prob: dropout on the embeddings and on the output of each sub-layer.
        attention_probs_dropout_prob: dropout on the attention probabilities.
        initializer_range: standard deviation of the truncated-normal initialisation (truncated at two of them).
        layer_norm_eps: epsilon of every LayerNorm.

    Raises:
        ValueError: where no encoder can have this shape.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        check_counts(self, *(each.name for each in fields(self) if each.name in MAXIMA))
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared evenly by num_attention_heads="
                f"{self.num_attention_heads}: choose a multiple"
            )
        check_rates(self, "hidden_dropout_prob", "attention_probs_dropout_prob")
        check_spreads(self, "initializer_range", "layer_norm_eps")

    @property
    def head_size(self) -> int:
        """K, the dimensions of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """The shape of an ELECTRA encoder; the defaults are ELECTRA-Small (Clark et al. 2020, appendix A, table 6).

    Attributes:
        embedding_size: E, the width of the embeddings; where it is not the hidden size, they are projected to that.
    """

    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    embedding_size: int = 128


def check_counts(config: EncoderConfig, *names: str, least: int = 1) -> None:
    """Compare counts with what they can be: at most those of ``MAXIMA``, and any other what 32 bits hold.

    Raises:
        ValueError: one is no whole number, below ``least`` or too large.
    """
    for name in names:
        value, most = getattr(config, name), MAXIMA.get(name, 2**31 - 1)
        if not isinstance(value, int):
            raise ValueError(f"{name}={value}: it must be a whole number")
        if value < least:
            raise ValueError(f"{name}={value}: it must be at least {least}")
        if value > most:
            raise ValueError(f"{name}={value}: it must be at most {most:,}")


def check_rates(config: EncoderConfig, *names: str) -> None:
    """Compare rates of dropout with what they can be.

    Raises:
        ValueError: one is below 0, or not below 1.
    """
    for name in names:
        if not 0.0 <= getattr(config, name) < 1.0:
            raise ValueError(f"{name}={getattr(config, name)}: it must be at least 0 and below 1")


def check_spreads(config: EncoderConfig, *names: str) -> None:
    """Compare a standard deviation or an epsilon with what it can be.

    Raises:
        ValueError: one is below 0 or above 1.
    """
    for name in names:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ValueError(f"{name}={getattr(config, name)}: it must be from 0 to 1")
