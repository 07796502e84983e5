"""Our models on rows with padding, for formats that know no packed tokens. They share the packed ones' parameters.

Legend for shapes: see ``cloze.batch``; L labels, I items, C choices. Outputs have the names of Hugging Face's classes.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed, TaskBatch
from cloze.model.bert import BertBlock, BertForPreTraining, Embeddings, Pooler
from cloze.model.encoder import Encoder
from cloze.model.task_heads import MultipleChoiceModel, QuestionAnswerer, TaskModel


class PaddedModel(nn.Module, ABC):
    """What can be written where rows are padded.

    Attributes:
        outputs: their names.
        choices: whether the rows of an item stand side by side, (I, C, T).
    """

    outputs: tuple[str, ...]
    choices = False

    @abstractmethod
    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """The outputs for rows (B, T), one tensor each."""

    @abstractmethod
    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """The same of the packed model: (N, ...) where the padded one says (B, T, ...)."""


class PaddedEncoder(nn.Module):
    """The encoder on rows (B, T) with a mask that is 0 at padding."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> list[Tensor]:
        """The vectors after the embeddings and after every block: (B, T, D) each."""
        embeddings = self.encoder.embeddings
        assert isinstance(embeddings, Embeddings)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        embedded = embeddings.word_embeddings(input_ids) + embeddings.position_embeddings(positions)
        segments = embeddings.token_type_embeddings(embeddings.segments(token_type_ids))
        states = [embeddings.norm(embedded + segments)]
        lowest = torch.finfo(states[0].dtype).min  # finite: a row of padding alone must not become NaN
        bias = (1.0 - attention_mask[:, None, None, :].to(states[0].dtype)) * lowest  # (B, 1, 1, T)
        for block in self.encoder.blocks:
            assert isinstance(block, BertBlock)
            states.append(_through(block, states[-1], bias))
        return states


def _through(block: BertBlock, hidden: Tensor, bias: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, D)."""
    attention = block.attention
    qkv = attention.query_key_value(hidden).unflatten(-1, (3, attention.num_attention_heads, -1))  # (B, T, 3, H, K)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, K)
    probs = (query @ key.mT / math.sqrt(query.shape[-1]) + bias).softmax(-1)  # written out: fewer nodes in a graph
    mixed = (probs @ value).transpose(1, 2).flatten(2)
    hidden = block.attention_norm(hidden + attention.output(mixed))
    return block.feed_forward_norm(hidden + block.feed_forward(hidden))  # type: ignore[no-any-return]


class PaddedFeatures(PaddedModel):
    """A bare encoder: the vectors of its last layer, and its pooler's where there is one."""

    def __init__(self, encoder: Encoder, pooler: Pooler | None) -> None:
        super().__init__()
        self.padded = PaddedEncoder(encoder)
        self.pooler = pooler
        self.outputs = ("last_hidden_state",) if pooler is None else ("last_hidden_state", "pooler_output")

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """(B, T, D), and (B, D)."""
        hidden = self.padded(input_ids, attention_mask, token_type_ids)[-1]
        return (hidden,) if self.pooler is None else (hidden, torch.tanh(self.pooler.dense(hidden[:, 0])))

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """(N, D), and (B, D)."""
        hidden = self.padded.encoder(packed)
        return (hidden,) if self.pooler is None else (hidden, self.pooler(hidden, packed))


class PaddedPretraining(PaddedModel):
    """The pre-training heads that there are: of every token, since nobody says which are masked."""

    def __init__(self, model: BertForPreTraining, *, masked_lm: bool, next_sentence: bool) -> None:
        super().__init__()
        self.padded = PaddedEncoder(model.encoder)
        self.model = model
        self.masked_lm, self.next_sentence = masked_lm, next_sentence
        both = masked_lm and next_sentence
        self.outputs = ("prediction_logits", "seq_relationship_logits") if both else ("logits",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """(B, T, V), and (B, 2)."""
        hidden = self.padded(input_ids, attention_mask, token_type_ids)[-1]
        pooled = torch.tanh(self.model.pooler.dense(hidden[:, 0])) if self.next_sentence else None
        return self._logits(hidden, pooled)

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """(N, V), and (B, 2)."""
        hidden = self.model.encoder(packed)
        return self._logits(hidden, self.model.pooler(hidden, packed) if self.next_sentence else None)

    def _logits(self, hidden: Tensor, pooled: Tensor | None) -> tuple[Tensor, ...]:
        logits = []
        if self.masked_lm:
            head = self.model.masked_lm_head
            logits.append(F.linear(head(hidden), self.model.decoder_weight, head.decoder_bias))
        if pooled is not None:
            logits.append(self.model.next_sentence_head(pooled))
        return tuple(logits)


class PaddedTask(PaddedModel):
    """The model of a task with a linear head, whatever layers it reads."""

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.padded = PaddedEncoder(model.encoder)
        self.model = model
        self.choices = isinstance(model, MultipleChoiceModel)
        answers = isinstance(model, QuestionAnswerer)
        self.outputs = ("start_logits", "end_logits") if answers else ("logits",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """(B, L), (B, T, L), (B, T) twice, or (I, C)."""
        items = input_ids
        if self.choices:
            input_ids, attention_mask, token_type_ids = (
                rows.flatten(0, 1) for rows in (input_ids, attention_mask, token_type_ids)
            )
        states = self.padded(input_ids, attention_mask, token_type_ids)
        mix, pooler = self.model.mix, self.model.pooler
        read = torch.cat([states[number] for number in mix.numbers], dim=-1)  # (B, T, L * D)
        mixed = mix(read.flatten(0, 1)).unflatten(0, input_ids.shape)
        if self.model.takes_whole_sequences:
            mixed = mixed[:, 0] if pooler is None else torch.tanh(pooler.dense(mixed[:, 0]))
        return self._outputs(
            self.model.classifier(mixed).reshape(items.shape[:2]) if self.choices else self.model.classifier(mixed)
        )

    def packed(self, packed: Packed) -> tuple[Tensor, ...]:
        """(B, L), (N, L), (N,) twice, or (I, C) of items with two choices."""
        rows = len(packed.cu_seqlens) - 1
        items = torch.arange(rows // 2 if self.choices else rows)
        return self._outputs(self.model(TaskBatch(packed, torch.empty(0), items, len(packed.input_ids), 1)))

    def _outputs(self, logits: Tensor) -> tuple[Tensor, ...]:
        return logits.unbind(-1) if len(self.outputs) == 2 else (logits,)
