"""The models of the downstream tasks: one encoder, four heads (Devlin et al. 2019, figure 4) and embeddings.

The same functions as Hugging Face's classes of these names. Legend for shapes: see ``cloze.batch``; L labels, I items.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import TaskBatch
from cloze.model.adaptation import Adaptation, Pooling
from cloze.model.architecture import Architecture, Head, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.model.heads import first_vectors
from cloze.model.kernels.attention import Sequences
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.matmul import Linear
from cloze.model.layers import LayerMix
from cloze.model.pooling import pool
from cloze.model.recurrent import BiLSTM


class TaskModel(EncoderWithHeads):
    """An encoder with a classifier on the hidden states of its tokens.

    Attributes:
        config: the shape of the encoder, with the rates of dropout of the adaptation.
        adaptation: what is trained and which hidden states the head reads.
        pooler: what the architecture has between the encoder and the classifier: from hidden states to one embedding a
            sequence, or where the head takes tokens to another hidden state each.
        is_published: whether Hugging Face has such a model: its classifier reads the last layer, through the pooler.
        drawn: the parts that did not come from a checkpoint, by name; for the reader of a log.
        kept: those of the head that did.

    Raises:
        ValueError: the adaptation does not fit the shape.
    """

    takes_whole_sequences: ClassVar[bool] = False
    classifier_drops: ClassVar[bool] = True

    def __init__(self, config: EncoderConfig, num_outputs: int, adaptation: Adaptation) -> None:
        config = adaptation.configured(config)
        record = architecture_of(config)
        super().__init__(config, record.encoder(config))
        self.adaptation = adaptation
        self.drawn: tuple[str, ...] = ()
        self.kept: tuple[str, ...] = ()
        self.mix = LayerMix(config, adaptation)
        width = self.mix.width
        self.lstm: BiLSTM | None = None
        if adaptation.head == "bilstm":
            self.lstm = BiLSTM(width, adaptation.lstm_hidden_size, adaptation.lstm_layers)
            width = self.lstm.width
        pooler = self.published_pooler(record)
        self.pooler = pooler(config) if pooler is not None and adaptation.reads_pooler else None
        reads_last = adaptation.layers == "last" and adaptation.head == "linear"
        self.is_published = reads_last and (self.pooler is None) == (pooler is None)
        rate = adaptation.classifier_dropout
        self.dropout = Dropout((config.hidden_dropout_prob if rate is None else rate) * self.classifier_drops)
        self.classifier: Any = self._classifier(width, num_outputs)  # a linear layer; of embeddings perhaps none
        record.initialise(self, config)
        # Blocks above those that are read get no gradient: an optimizer, and DDP, must not wait for one.
        for module in (*self._frozen, *self.encoder.above(self.mix.numbers[-1])):
            module.requires_grad_(False)

    def _classifier(self, width: int, num_outputs: int) -> nn.Module:
        """From what is read of a sequence or a token, (..., width), to the outputs, (..., L)."""
        if of := self.adaptation.of_embeddings:
            name, value = next(iter(of.items()))
            raise ValueError(f"{name}={value}: is for task=embedding; leave it out")
        return Linear(width, num_outputs)

    @classmethod
    def published_pooler(cls, record: Architecture[Any]) -> Callable[[Any], nn.Module] | None:
        """What makes the pooler that such a head has in Hugging Face's classes."""
        return record.pooler if cls.takes_whole_sequences else record.token_head

    @property
    def _frozen(self) -> tuple[nn.Module, ...]:
        if self.adaptation.frozen_layers == "all":
            return (self.encoder,)
        if self.adaptation.frozen_layers == 0:
            return ()
        return (*self.encoder.below, *self.encoder.blocks[: self.adaptation.frozen_layers])

    def train(self, mode: bool = True) -> "TaskModel":
        """As ever; frozen parts stay in evaluation mode, that is, without dropout."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def token_vectors(self, batch: TaskBatch) -> Tensor:
        """What the head reads of every token, (N, width).

        No gradient is computed below frozen parts, and nothing is kept for one: none of their inputs asks for it.
        """
        read = self.mix.read(self.encoder, batch.packed) if batch.features is None else batch.features
        mixed = self.mix(read)
        return mixed if self.lstm is None else self.lstm(mixed, batch.packed.cu_seqlens)  # type: ignore[no-any-return]

    def vectors(self, batch: TaskBatch) -> Tensor:
        """What the classifier reads, of every sequence (B, width) or of every token (N, width)."""
        return self.pooled(self.token_vectors(batch), batch.packed)

    def pooled(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """What the classifier reads, from the hidden states (N, width) or (B, T, width)."""
        if self.pooler is not None:
            return self.pooler(hidden, sequences)  # type: ignore[no-any-return]
        return first_vectors(hidden, sequences) if self.takes_whole_sequences else hidden


class SequenceClassifier(TaskModel):
    """Classes, several labels, or a score (L = 1) of a text or a pair of texts."""

    takes_whole_sequences = True

    def forward(self, batch: TaskBatch) -> Tensor:
        """The logits of each sequence, (B, L)."""
        return self.classifier(self.dropout(self.vectors(batch)))  # type: ignore[no-any-return]


class TokenClassifier(TaskModel):
    """A class of each token."""

    def forward(self, batch: TaskBatch) -> Tensor:
        """The logits of each token, (N, L)."""
        return self.classifier(self.dropout(self.vectors(batch)))  # type: ignore[no-any-return]


class QuestionAnswerer(TaskModel):
    """Where an answer begins and where it ends."""

    classifier_drops = False

    def forward(self, batch: TaskBatch) -> Tensor:
        """The logits of each token as the first and as the last one of the answer, (N, 2)."""
        return self.classifier(self.vectors(batch))  # type: ignore[no-any-return]


class MultipleChoiceModel(TaskModel):
    """Which of several continuations is the right one; items may have different numbers of them."""

    takes_whole_sequences = True

    def forward(self, batch: TaskBatch) -> Tensor:
        """The logits of each item's choices, (I, n); minus infinity where an item has fewer than n."""
        return self.by_item(self.classifier(self.dropout(self.vectors(batch)))[:, 0], batch)

    @staticmethod
    def by_item(scores: Tensor, batch: TaskBatch) -> Tensor:
        """The scores of the sequences, (B,), as those of each item's choices, (I, n)."""
        if batch.sequences is None:
            return scores.view(len(batch.items), -1)
        return scores[batch.sequences.clamp(min=0)].masked_fill(batch.sequences < 0, float("-inf"))


class EmbeddingModel(TaskModel):
    """One vector a text: pooling, an optional dense layer, the length 1 (Reimers and Gurevych 2019, section 3).

    The function of the modules Transformer, Pooling, Dense and Normalize of sentence-transformers.

    Attributes:
        pooling: what makes one embedding of the hidden states.
        width: of the vectors.
        normalizes: whether they have the length 1.
    """

    takes_whole_sequences = True
    classifier_drops: ClassVar[bool] = False
    pooling: Pooling

    def _classifier(self, width: int, num_outputs: int) -> nn.Module:
        adaptation = self.adaptation
        if adaptation.layers != "last" or adaptation.head != "linear":
            of = f"layers={adaptation.layers}" if adaptation.layers != "last" else f"head={adaptation.head}"
            raise ValueError(f"{of}: embeddings are made of the last layer, without an LSTM; leave it out")
        self.pooling = adaptation.pooling or "mean"
        self.normalizes = adaptation.normalize is not False
        self.width = width if adaptation.dense is None else adaptation.dense
        self.squashes = adaptation.dense_activation == "tanh"
        return nn.Identity() if adaptation.dense is None else Linear(width, adaptation.dense)

    @classmethod
    def published_pooler(cls, _: Architecture[Any]) -> Callable[[Any], nn.Module] | None:
        """None: the pooling is this model's own."""
        return None

    def forward(self, batch: TaskBatch, skipped: Tensor | None = None, layers: Sequence[int] = ()) -> Tensor:
        """The embeddings of the sequences, (B, width).

        Args:
            batch: of items.
            skipped: (B,) tokens at the beginning of each sequence that the pooling leaves out; None for none.
            layers: below the last, whose embeddings stand behind its own in the order given: (B, (1 + layers) width).
        """
        if not layers:
            return self.embed(self.token_vectors(batch), batch.packed, skipped)
        # Always all layers, of which a step may choose others: a compiled encoder is compiled once.
        states = self.encoder(batch.packed, layers=range(len(self.encoder.blocks) + 1))
        norm = self.encoder.norm or nn.Identity()  # each as the last layer of a cut model
        found = [states[-1], *(norm(states[layer]) for layer in layers)]
        return torch.cat([self.embed(hidden, batch.packed, skipped) for hidden in found], dim=1)

    def embed(self, hidden: Tensor, sequences: Sequences, skipped: Tensor | None = None) -> Tensor:
        """The embeddings of the sequences, (B, width), from their hidden states, (N, D) or (B, T, D)."""
        pooled = self.classifier(pool(hidden, sequences, self.pooling, skipped))
        vectors = pooled.tanh() if self.squashes else pooled
        return F.normalize(vectors.float(), dim=-1) if self.normalizes else vectors.float()


TASK_MODELS: dict[Head, type[TaskModel]] = {
    "sequence_classification": SequenceClassifier,
    "token_classification": TokenClassifier,
    "question_answering": QuestionAnswerer,
    "multiple_choice": MultipleChoiceModel,
    "embedding": EmbeddingModel,
}
"""By the head that they have."""
