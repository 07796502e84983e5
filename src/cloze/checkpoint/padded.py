"""Run the models on padded rows, for formats without packed tokens. Parameters are shared with the packed models.

Legend for shapes: see ``cloze.batch``; L labels, I items, C choices. Outputs have the names of Hugging Face's classes.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from cloze.batch import Packed, TaskBatch
from cloze.model.encoder import Encoder
from cloze.model.heads import PretrainingModel
from cloze.model.kernels.attention import Padded, Sequences
from cloze.model.task_heads import MultipleChoiceModel, QuestionAnswerer, TaskModel


class PaddedModel(nn.Module, ABC):
    """What can be written where rows are padded.

    Attributes:
        encoder: of the model.
        outputs: their names.
        choices: whether the rows of an item stand side by side, (I, C, T).
        segments: whether the encoder reads them; where not, no ``token_type_ids`` are given.
    """

    encoder: Encoder
    outputs: tuple[str, ...]
    choices = False

    @property
    def segments(self) -> bool:
        return self.encoder.config.type_vocab_size > 0

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The outputs for rows (B, T), one tensor each; the mask is 0 at padding."""
        positions = torch.arange(input_ids.shape[-1], device=input_ids.device)
        segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        return self.run(Padded(input_ids, segments, positions, attention_mask))

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """The same of packed tokens: (N, ...) where rows have (B, T, ...)."""
        return self.run(packed)

    @abstractmethod
    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """The outputs, one tensor each."""


class PaddedFeatures(PaddedModel):
    """A bare encoder: the hidden states of its last layer, and its pooler's output where there is one."""

    def __init__(self, encoder: Encoder, pooler: nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler
        self.outputs = ("last_hidden_state",) if pooler is None else ("last_hidden_state", "pooler_output")

    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """(B, T, D), and (B, D)."""
        hidden = self.encoder(sequences)
        return (hidden,) if self.pooler is None else (hidden, self.pooler(hidden, sequences))


class PaddedDetection(PaddedModel):
    """The discriminator of replaced tokens: a logit of every token."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.outputs = ("logits",)

    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """(B, T)."""
        return (self.head(self.encoder(sequences)),)


class PaddedPretraining(PaddedModel):
    """The pre-training heads that there are: of every token, since nobody says which are masked."""

    def __init__(self, model: PretrainingModel, *, masked_lm: bool, next_sentence: bool) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.model = model
        self.masked_lm, self.next_sentence = masked_lm, next_sentence
        both = masked_lm and next_sentence
        self.outputs = ("prediction_logits", "seq_relationship_logits") if both else ("logits",)

    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """(B, T, V), and (B, 2)."""
        hidden = self.encoder(sequences)
        logits = []
        if self.masked_lm:
            logits.append(self.model.masked_lm_logits(hidden))
        if self.next_sentence:
            logits.append(self.model.next_sentence_logits(hidden, sequences))
        return tuple(logits)


class PaddedTask(PaddedModel):
    """The model of a task with a linear head on any layers."""

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.model = model
        self.choices = isinstance(model, MultipleChoiceModel)
        answers = isinstance(model, QuestionAnswerer)
        self.outputs = ("start_logits", "end_logits") if answers else ("logits",)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """(B, L), (B, T, L), (B, T) twice, or (I, C)."""
        if not self.choices:
            return super().forward(input_ids, attention_mask, token_type_ids)
        segments = None if token_type_ids is None else token_type_ids.flatten(0, 1)
        (scores,) = super().forward(input_ids.flatten(0, 1), attention_mask.flatten(0, 1), segments)
        return (scores.reshape(input_ids.shape[:2]),)

    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """(B, L), (B, T, L), or (B, T) twice."""
        mix = self.model.mix
        read = mix(mix.read(self.encoder, sequences))  # (B, T, width)
        return self._outputs(self.model.classifier(self.model.pooled(read, sequences)))

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """(B, L), (N, L), (N,) twice, or (I, C) of items with two choices; by the model itself."""
        rows = len(packed.cu_seqlens) - 1
        items = torch.arange(rows // 2 if self.choices else rows)
        return self._outputs(self.model(TaskBatch(packed, torch.empty(0), items, len(packed.input_ids), 1)))

    def _outputs(self, logits: Tensor) -> tuple[Tensor, ...]:
        return logits.unbind(-1) if len(self.outputs) == 2 else (logits,)
