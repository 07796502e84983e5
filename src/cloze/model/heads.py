"""The two pre-training heads on the encoder: masked language model and next sentence (Devlin et al. 2019, section 3.1).

Legend for shapes: see ``cloze.batch``.
"""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.model.config import BertConfig
from cloze.model.encoder import Encoder
from cloze.model.loss import CrossEntropy, linear_cross_entropy
from cloze.model.norm import LayerNorm


class MaskedLMHead(nn.Module):
    """A transform of the vectors at masked positions; the decoder is tied to the word embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), ready for the tied decoder."""
        return self.norm(F.gelu(self.dense(hidden)))  # type: ignore[no-any-return]


def initialise(module: nn.Module, std: float) -> None:
    """Truncated normal for every matrix, zero for every bias (google-research/bert, ``create_initializer``)."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def first_vectors(hidden: Tensor, packed: Packed) -> Tensor:
    """The vectors of [CLS]: (N, D) -> (B, D)."""
    # An empty sequence, which only pads B to a constant, may begin behind the last token.
    return hidden[packed.cu_seqlens[:-1].clamp(max=hidden.shape[0] - 1)]


class Pooler(nn.Module):
    """The vector of [CLS] through a dense layer and tanh, which stands for the whole sequence."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(N, D) -> (B, D)."""
        return torch.tanh(self.dense(first_vectors(hidden, packed)))


class PretrainingLogits(NamedTuple):
    """What both heads say: ``masked_lm`` (M, V) and ``next_sentence`` (B, 2)."""

    masked_lm: Tensor
    next_sentence: Tensor


class PretrainingLosses(NamedTuple):
    """Sums, not means, with the number of right answers: to be divided by the counts of the global batch."""

    masked_lm: CrossEntropy
    next_sentence: CrossEntropy


class BertForPreTraining(nn.Module):
    """Encoder, pooler and both heads, initialised as published."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)
        self.masked_lm_head = MaskedLMHead(config)
        self.next_sentence_head = nn.Linear(config.hidden_size, 2)
        self.apply(partial(initialise, std=config.initializer_range))

    @property
    def decoder_weight(self) -> Tensor:
        """(V, D), the word embeddings."""
        return self.encoder.embeddings.word_embeddings.weight

    def forward(self, packed: Packed, masked_positions: Tensor) -> PretrainingLogits:
        """The logits of both heads; the masked-language-model head runs on ``masked_positions`` (M,) only."""
        hidden = self.encoder(packed)
        masked = self.masked_lm_head(hidden[masked_positions])
        return PretrainingLogits(
            F.linear(masked, self.decoder_weight, self.masked_lm_head.decoder_bias),
            self.next_sentence_head(self.pooler(hidden, packed)),
        )

    def losses(self, batch: PretrainingBatch) -> PretrainingLosses:
        """Both losses without ever holding the (M, V) logits."""
        # The counts of the batch, which are others every time, stay out of what may be compiled for constants.
        return self._losses(batch.packed, batch.masked_positions, batch.masked_labels, batch.next_sentence_labels)

    def compile_losses(self, *, cuda_graphs: bool = False, backend: str = "inductor") -> None:
        """Compile ``losses``, forward and backward, as one graph for each shape of batches; names of state stay.

        A part that would break the graph is an error. Needs batches of constant shapes and a kernel of attention other
        than ``reference``.

        Args:
            cuda_graphs: record the kernels once and start them together from then on.
            backend: torch's compiler.
        """
        mode = "reduce-overhead" if cuda_graphs else None
        compiled = torch.compile(self._losses, fullgraph=True, dynamic=False, mode=mode, backend=backend)
        self._losses = compiled  # type: ignore[method-assign]

    def _losses(
        self, packed: Packed, masked_positions: Tensor, masked_labels: Tensor, next_sentence_labels: Tensor
    ) -> PretrainingLosses:
        hidden = self.encoder(packed)
        masked = self.masked_lm_head(hidden[masked_positions])
        masked_lm = linear_cross_entropy(masked, self.decoder_weight, self.masked_lm_head.decoder_bias, masked_labels)
        logits = self.next_sentence_head(self.pooler(hidden, packed)).float()
        loss = F.cross_entropy(logits, next_sentence_labels, reduction="sum", ignore_index=IGNORED_LABEL)
        return PretrainingLosses(masked_lm, CrossEntropy(loss, (logits.argmax(-1) == next_sentence_labels).sum()))
