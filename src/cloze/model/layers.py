"""Select and combine the layers that a head reads (Devlin et al. 2019, table 7).

Legend for shapes: see ``cloze.batch``; L layers are read.
"""

import torch
from torch import Tensor, nn

from cloze.model.adaptation import Adaptation
from cloze.model.config import EncoderConfig
from cloze.model.encoder import Encoder
from cloze.model.kernels.attention import Sequences


class LayerMix(nn.Module):
    """One hidden state a token from those of several layers.

    A weighted sum has ELMo's task weights (Peters et al. 2018, equation 1): a softmax over the layers and one scale,
    both learned; they begin as the plain mean. As in the BERT paper it is over blocks, without the embeddings.

    Attributes:
        numbers: the L layers that are read, lowest first, 0 being the embeddings.
        width: of the hidden states that come out.
    """

    def __init__(self, config: EncoderConfig, adaptation: Adaptation) -> None:
        super().__init__()
        self.layers = adaptation.layers
        self.numbers = adaptation.numbers(config.num_hidden_layers)
        self.width = config.hidden_size * (len(self.numbers) if self.layers == "concat_last_4" else 1)
        if self.layers.startswith("weighted_sum"):
            self.weights = nn.Parameter(torch.zeros(len(self.numbers)))
            self.scale = nn.Parameter(torch.ones(1))

    def read(self, encoder: Encoder, sequences: Sequences) -> Tensor:
        """The layers that are needed side by side, lowest first, as frozen features are: (..., L * D)."""
        if self.layers == "last":
            return encoder(sequences)  # type: ignore[no-any-return]  # a call, which may be compiled
        return torch.cat(encoder.hidden_states(sequences, self.numbers), dim=-1)

    def forward(self, side_by_side: Tensor) -> Tensor:
        """(..., L * D) -> (..., width)."""
        if len(self.numbers) == 1 or self.layers == "concat_last_4":
            return side_by_side
        stacked: Tensor = side_by_side.unflatten(-1, (len(self.numbers), -1))  # (..., L, D)
        if self.layers == "sum_last_4":
            return stacked.sum(-2)
        return (self.weights.softmax(0) * self.scale).to(stacked.dtype) @ stacked
