"""An encoder like BERT without segments, with ReLU: all of its architecture in one file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from cloze.model.architecture import register
from cloze.model.bert import BertBlock, BertForPreTraining, FeedForward
from cloze.model.config import BertConfig
from cloze.model.encoder import Encoder
from cloze.model.families.bert import BERT
from cloze.model.kernels.attention import Sequences
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.norm import LayerNorm


@dataclass(frozen=True, kw_only=True)
class ToyConfig(BertConfig):
    """The shape of the toy.

    Attributes:
        type_vocab_size: one: there are no segments.
    """

    type_vocab_size: int = 1


class ToyEmbeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, sequences: Sequences) -> Tensor:
        hidden = self.word_embeddings(sequences.input_ids) + self.position_embeddings(sequences.position_ids)
        return self.dropout(self.norm(hidden))  # type: ignore[no-any-return]


class ToyBlock(BertBlock):
    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.feed_forward = FeedForward(config, F.relu)


class ToyEncoder(Encoder):
    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, ToyEmbeddings(config), (ToyBlock(config) for _ in range(config.num_hidden_layers)))


def named(table: Mapping[str, str]) -> dict[str, str]:
    """The table of BERT with the encoder called toy."""
    return {ours: theirs.replace("bert.", "toy.", 1) for ours, theirs in table.items() if "token_type" not in ours}


names = replace(
    BERT.names,
    base="toy",
    modules=named(BERT.names.modules),
    fused={ours: [name.replace("bert.", "toy.", 1) for name in theirs] for ours, theirs in BERT.names.fused.items()},
)
register(
    replace(
        BERT,
        model_type="toy",
        title="Toy",
        classes="Toy",
        config=ToyConfig,
        encoder=ToyEncoder,
        pretraining=partial(BertForPreTraining, encoder=ToyEncoder),
        names=names,
        stated={"hidden_act": "relu"},
    )
)
