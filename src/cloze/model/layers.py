"""Which layers of the encoder a head reads, and how it joins them (Devlin et al. 2019, table 7).

Legend for shapes: see ``cloze.batch``; L layers are read.
"""

import torch
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.model.adaptation import Adaptation
from cloze.model.config import BertConfig
from cloze.model.encoder import Encoder


class LayerMix(nn.Module):
    """One vector a token from the vectors of several layers.

    A weighted sum has ELMo's task weights (Peters et al. 2018, equation 1): a softmax over the layers and one scale,
    both learned; they begin as the plain mean. As in the BERT paper it is over blocks, without the embeddings.

    Attributes:
        numbers: the L layers that are read, lowest first, 0 being the embeddings.
        width: of the vectors that come out.
    """

    def __init__(self, config: BertConfig, adaptation: Adaptation) -> None:
        super().__init__()
        self.layers = adaptation.layers
        self.numbers = adaptation.numbers(config.num_hidden_layers)
        self.width = config.hidden_size * (len(self.numbers) if self.layers == "concat_last_4" else 1)
        if self.layers.startswith("weighted_sum"):
            self.weights = nn.Parameter(torch.zeros(len(self.numbers)))
            self.scale = nn.Parameter(torch.ones(1))

    def read(self, encoder: Encoder, packed: Packed) -> Tensor:
        """The layers that are needed, (N, L * D): side by side, lowest first. Frozen features have this layout."""
        if self.layers == "last":
            return encoder(packed)  # type: ignore[no-any-return]  # a call, which may be compiled
        states = encoder.hidden_states(packed, self.numbers[-1])
        return torch.cat([states[number] for number in self.numbers], dim=1)

    def forward(self, side_by_side: Tensor) -> Tensor:
        """(N, L * D) -> (N, width)."""
        if len(self.numbers) == 1 or self.layers == "concat_last_4":
            return side_by_side
        stacked: Tensor = side_by_side.unflatten(1, (len(self.numbers), -1))  # (N, L, D)
        if self.layers == "sum_last_4":
            return stacked.sum(1)
        return (self.weights.softmax(0) * self.scale).to(stacked.dtype) @ stacked
