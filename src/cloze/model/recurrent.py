"""A bidirectional LSTM over the sequences of a packed batch. Legend for shapes: see ``cloze.batch``."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class BiLSTM(nn.Module):
    """A bidirectional LSTM (Graves & Schmidhuber 2005) with torch's initialisation.

    The BERT paper's "two-layer 768-dimensional BiLSTM" (Devlin et al. 2019, section 5.3) leaves open whether both
    directions share the 768; here, as in torch, ``hidden_size`` is that of each.

    Attributes:
        width: of the hidden states that come out, both directions side by side.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, bidirectional=True)
        self.width = 2 * hidden_size

    def forward(self, hidden: Tensor, cu_seqlens: Tensor) -> Tensor:
        """(N, D) -> (N, width); zeros for tokens after the last sequence."""
        order, batch_sizes = _by_time(cu_seqlens)
        order = order.to(hidden.device)
        out: Tensor = self.lstm(PackedSequence(hidden.index_select(0, order), batch_sizes))[0].data
        return out.new_zeros(len(hidden), self.width).index_copy(0, order, out)


def _by_time(cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens in the order of torch's ``PackedSequence``, and how many sequences reach each time step.

    That is all first tokens, then all second ones, ..., longer sequences before shorter.
    """
    bounds = cu_seqlens.long().cpu()
    lengths, ranks = bounds.diff().sort(descending=True)
    time = torch.arange(int(lengths[0])).unsqueeze(1)  # (T, 1)
    reached = time < lengths  # (T, B)
    return (bounds[:-1][ranks] + time)[reached], reached.sum(1)
