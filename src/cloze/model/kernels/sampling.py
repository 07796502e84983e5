"""Draw tokens from their probabilities by numbers that the caller has drawn: a pure function of both."""

import torch
import torch.nn.functional as F
from torch import Tensor

COLUMNS = 256
"""Of a block of the vocabulary: running sums of blocks, then of one, take a tenth of the time of one over all."""


def sample(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """The token at which the running sum of the probabilities passes the number (inverse transform sampling).

    A token of probability 0 is never drawn.

    Args:
        probabilities: (M, V) fp32, at least 0, of each row in sum about 1.
        uniforms: (M,) fp32 in [0, 1).

    Returns:
        (M,) int64.
    """
    rows, tokens = probabilities.shape
    if not rows:
        return torch.zeros(0, dtype=torch.int64, device=probabilities.device)
    blocks = F.pad(probabilities, (0, -tokens % COLUMNS)).view(rows, -1, COLUMNS)
    sums = blocks.sum(-1).cumsum(-1)
    target = _below(uniforms.unsqueeze(1) * sums[:, -1:], sums)
    block = torch.searchsorted(sums, target, right=True)  # (M, 1), the first whose sum is above the target
    passed = sums.gather(1, (block - 1).clamp(min=0)) * (block > 0)
    within = blocks.gather(1, block.unsqueeze(-1).expand(-1, -1, COLUMNS)).squeeze(1).cumsum(-1)
    column = torch.searchsorted(within, _below(target - passed, within), right=True)
    return (block * COLUMNS + column).squeeze(1)


def _below(target: Tensor, sums: Tensor) -> Tensor:
    """The target, or where rounding has brought it to the last running sum the number next to that."""
    return torch.minimum(target, torch.nextafter(sums[:, -1:], torch.zeros_like(target)))
