"""ELECTRA's encoder and heads (Clark et al. 2020, section 3): BERT's blocks on embeddings of a width of their own.

As in google-research/electra, ``model/modeling.py`` and ``run_pretraining.py``. Legend for shapes: see ``cloze.batch``;
E is the width of the embeddings.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.model import bert
from cloze.model.bert import BertBlock, Embeddings
from cloze.model.config import ElectraConfig, EncoderConfig
from cloze.model.encoder import Encoder
from cloze.model.heads import MaskedLM, PretrainingModel, first_vectors
from cloze.model.kernels.attention import Sequences
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm
from cloze.model.modern import NextSentenceHead


class ElectraEncoder(Encoder):
    """Embeddings, their projection where E is not D, and the stack of blocks."""

    embeddings: Embeddings

    def __init__(self, config: ElectraConfig) -> None:
        blocks = (BertBlock(config) for _ in range(config.num_hidden_layers))
        width = config.embedding_size
        super().__init__(config, Embeddings(config, width), blocks, projection=projection(width, config.hidden_size))


def projection(width: int, hidden_size: int) -> nn.Module | None:
    """From (..., E) to (..., D); None where they are the same."""
    return None if width == hidden_size else Linear(width, hidden_size)


class GeneratorHead(MaskedLM):
    """A transform of the hidden states at masked positions; the decoder is tied to the word embeddings.

    Args:
        hidden_size: D.
        width: E.
        vocab_size: V.
        eps: of the LayerNorm.
    """

    decoder_bias: Tensor

    def __init__(self, hidden_size: int, width: int, vocab_size: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, width)
        self.norm = LayerNorm(width, eps=eps)
        self.decoder_bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, E), ready for the tied decoder."""
        return self.norm(F.gelu(self.dense(hidden)))  # type: ignore[no-any-return]


class DiscriminatorHead(nn.Module):
    """For each token a logit: was it replaced?"""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (...)."""
        return self.output(F.gelu(self.dense(hidden))).squeeze(-1)  # type: ignore[no-any-return]


class ElectraForPreTraining(PretrainingModel):
    """The encoder with a head for masked tokens, which makes it a generator, and one for pairs of texts.

    What detects replaced tokens is ``cloze.model.replaced_tokens.ReplacedTokens``, for which two encoders are trained.
    """

    config: ElectraConfig

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config, ElectraEncoder(config))
        self.masked_lm_head = GeneratorHead(
            config.hidden_size, config.embedding_size, config.vocab_size, config.layer_norm_eps
        )
        self.next_sentence_head = NextSentenceHead(config)
        initialise(self, config)

    @property
    def pairs_read_first(self) -> bool:
        """Their head does."""
        return True

    def next_sentence_logits(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, 2)."""
        return self.next_sentence_head(hidden, sequences)  # type: ignore[no-any-return]


class Pooler(nn.Module):
    """The hidden state of [CLS] through a dense layer and GELU: the first half of Hugging Face's heads of texts."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) or (B, T, D) -> (B, D)."""
        return F.gelu(self.dense(self.dropout(first_vectors(hidden, sequences))))


def initialise(model: nn.Module, config: ElectraConfig) -> None:
    """As BERT; but for the layers to which the published code gives TensorFlow's default, Glorot's uniform."""
    bert.initialise(model, config)
    initialise_by_width(model)


def initialise_by_width(model: nn.Module) -> None:
    """Projections of embeddings, and the discriminator's last layer: uniform by their widths (Glorot & Bengio 2010)."""
    for module in model.modules():
        layer = module.projection if isinstance(module, Encoder) else None
        layer = module.output if isinstance(module, DiscriminatorHead) else layer
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
