"""Our models on rows with padding, for formats that know no packed tokens. They share the packed ones' parameters.

Legend for shapes: see ``cloze.batch``; L labels, I items, C choices. Outputs have the names of Hugging Face's classes.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from cloze.batch import Packed, TaskBatch
from cloze.model.bert import BertForPreTraining, first_vectors
from cloze.model.encoder import Encoder
from cloze.model.kernels.attention import Padded, Sequences
from cloze.model.task_heads import MultipleChoiceModel, QuestionAnswerer, TaskModel


class PaddedModel(nn.Module, ABC):
    """What can be written where rows are padded.

    Attributes:
        encoder: of the model.
        outputs: their names.
        choices: whether the rows of an item stand side by side, (I, C, T).
    """

    encoder: Encoder
    outputs: tuple[str, ...]
    choices = False

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """The outputs for rows (B, T), one tensor each; the mask is 0 at padding."""
        positions = torch.arange(input_ids.shape[-1], device=input_ids.device)
        return self.run(Padded(input_ids, token_type_ids, positions, attention_mask))

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


class PaddedPretraining(PaddedModel):
    """The pre-training heads that there are: of every token, since nobody says which are masked."""

    def __init__(self, model: BertForPreTraining, *, masked_lm: bool, next_sentence: bool) -> None:
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
    """The model of a task with a linear head, whatever layers it reads."""

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.model = model
        self.choices = isinstance(model, MultipleChoiceModel)
        answers = isinstance(model, QuestionAnswerer)
        self.outputs = ("start_logits", "end_logits") if answers else ("logits",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """(B, L), (B, T, L), (B, T) twice, or (I, C)."""
        if not self.choices:
            return super().forward(input_ids, attention_mask, token_type_ids)
        rows = (rows.flatten(0, 1) for rows in (input_ids, attention_mask, token_type_ids))
        (scores,) = super().forward(*rows)
        return (scores.reshape(input_ids.shape[:2]),)

    def run(self, sequences: Sequences) -> tuple[Tensor, ...]:
        """(B, L), (B, T, L), or (B, T) twice."""
        mix, pooler = self.model.mix, self.model.pooler
        read = mix(mix.read(self.encoder, sequences))  # (B, T, width)
        if self.model.takes_whole_sequences:
            read = first_vectors(read, sequences) if pooler is None else pooler(read, sequences)
        return self._outputs(self.model.classifier(read))

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """(B, L), (N, L), (N,) twice, or (I, C) of items with two choices; by the model itself."""
        rows = len(packed.cu_seqlens) - 1
        items = torch.arange(rows // 2 if self.choices else rows)
        return self._outputs(self.model(TaskBatch(packed, torch.empty(0), items, len(packed.input_ids), 1)))

    def _outputs(self, logits: Tensor) -> tuple[Tensor, ...]:
        return logits.unbind(-1) if len(self.outputs) == 2 else (logits,)
