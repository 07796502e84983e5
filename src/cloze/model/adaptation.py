"""How to adapt a pre-trained encoder to a task: which layers are trained, and which the head reads."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from cloze.model.config import EncoderConfig

C = TypeVar("C", bound=EncoderConfig)
Pooling = Literal["cls", "mean", "max", "last", "weighted_mean"]
Layers = Literal[
    "last",
    "second_to_last",
    "sum_last_4",
    "concat_last_4",
    "weighted_sum_last_4",
    "weighted_sum",
    "embeddings",
]


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """Fine-tuning (Devlin et al. 2019, section 4) as it stands; the feature-based approach (section 5.3) by options.

    Attributes:
        frozen_layers: this many lower blocks, with the embeddings, stay as they are and drop nothing out; `all` freezes
            the whole encoder, whose hidden states are then computed once and kept in `cache`.
        reinitialized_layers: this many upper blocks, with the pooler, start from scratch (Zhang et al. 2021,
            "Revisiting Few-sample BERT Fine-tuning", section 5).
        layers: which hidden states the head reads, as in table 7 of the BERT paper.
        head: a linear layer alone, or a bidirectional LSTM below it.
        lstm_hidden_size: of the LSTM, in each direction.
        lstm_layers: of the LSTM.
        hidden_dropout_prob: in place of the model's own; null keeps that, here and below.
        attention_probs_dropout_prob: in place of the model's own.
        classifier_dropout: before the classifier; where the model has none of its own, its hidden_dropout_prob.
        pooling: of an embedding model, what makes one embedding of a text's hidden states: that of [CLS], their mean or
            maximum, that of the last token, or the mean weighted by position (Muennighoff 2022, equation 2); null for
            the mean.
        dense: of an embedding model, the width of a linear layer after the pooling; null for none.
        dense_activation: after that layer.
        normalize: whether the vectors of an embedding model have the length 1; null for yes.
        cache: the folder of the frozen hidden states.

    Raises:
        ValueError: for values that cannot be, or not together.
    """

    frozen_layers: int | Literal["all"] = 0
    reinitialized_layers: int = 0
    layers: Layers = "last"
    head: Literal["linear", "bilstm"] = "linear"
    lstm_hidden_size: int = 768
    lstm_layers: int = 2
    hidden_dropout_prob: float | None = None
    attention_probs_dropout_prob: float | None = None
    classifier_dropout: float | None = None
    pooling: Pooling | None = None
    dense: int | None = None
    dense_activation: Literal["identity", "tanh"] | None = None
    normalize: bool | None = None
    cache: str = "data/features"

    def __post_init__(self) -> None:
        if self.frozen_layers != "all" and self.frozen_layers < 0:
            raise ValueError(f"frozen_layers={self.frozen_layers}: it must be a number of blocks, or all")
        if self.reinitialized_layers < 0:
            raise ValueError(f"reinitialized_layers={self.reinitialized_layers}: it must be a number of blocks")
        if self.frozen_layers == "all" and self.reinitialized_layers:
            raise ValueError(
                f"reinitialized_layers={self.reinitialized_layers}: a block that starts from scratch must be trained, "
                "but frozen_layers=all; set one of them to 0"
            )
        for name in ("lstm_hidden_size", "lstm_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least 1")
        if self.dense is not None and self.dense < 1:
            raise ValueError(f"dense={self.dense}: it must be at least 1")
        if self.dense is None and self.dense_activation is not None:
            raise ValueError(
                f"dense_activation={self.dense_activation}: there is no dense layer; set dense to its width"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            if not 0.0 <= (getattr(self, name) or 0.0) < 1.0:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least 0 and below 1")

    @property
    def is_frozen(self) -> bool:
        """Whether nothing of the encoder is trained."""
        return self.frozen_layers == "all"

    @property
    def reads_pooler(self) -> bool:
        """Whether a whole sequence is read from the pooler, as in fine-tuning, and not from the hidden state of [CLS].

        The pooler is a part of the encoder that the next-sentence head trained; hidden states of other layers, those of
        an LSTM, and those of a frozen encoder do without it.
        """
        return self.layers == "last" and self.head == "linear" and not self.is_frozen

    def reading(self) -> dict[str, Any]:
        """The options that say how outputs come from the encoder; the others say how to train."""
        frozen: dict[str, Any] = {"frozen_layers": "all"} if self.is_frozen else {}
        names = ("layers", "head", "lstm_hidden_size", "lstm_layers")
        return frozen | {name: getattr(self, name) for name in names} | self.of_embeddings

    @property
    def of_embeddings(self) -> dict[str, Any]:
        """The options of embedding models that are set."""
        names = ("pooling", "dense", "dense_activation", "normalize")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def configured(self, config: C) -> C:
        """The shape of the encoder with these rates of dropout.

        Raises:
            ValueError: the encoder has fewer blocks than are to be frozen and newly initialised.
        """
        frozen = 0 if self.frozen_layers == "all" else self.frozen_layers
        if frozen + self.reinitialized_layers > config.num_hidden_layers:
            raise ValueError(
                f"frozen_layers={frozen} and reinitialized_layers={self.reinitialized_layers}: "
                f"together more than the model's num_hidden_layers={config.num_hidden_layers}"
            )
        rates = {
            name: rate
            for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")
            if (rate := getattr(self, name)) is not None
        }
        return dataclasses.replace(config, **rates)

    def numbers(self, num_hidden_layers: int) -> tuple[int, ...]:
        """The layers that are read, lowest first: 0 is the embeddings, ``num_hidden_layers`` the last block.

        Raises:
            ValueError: there are too few of them.
        """
        top = num_hidden_layers
        if self.layers == "embeddings":
            return (0,)
        lowest = {"last": top, "second_to_last": top - 1, "weighted_sum": 1}.get(self.layers, top - 3)
        if lowest < 1:
            raise ValueError(f"layers={self.layers}: the model has only num_hidden_layers={top}")
        highest = lowest if self.layers == "second_to_last" else top
        return tuple(range(lowest, highest + 1))
