"""What a teacher of the same task says, as targets (Hinton et al. 2015, section 2)."""

import torch
from torch import Tensor

ABSENT = -1e30
"""The logit of what an item does not have: finite, so that its share is 0 and its gradient, too."""


def divergence(ours: Tensor, theirs: Tensor, temperature: float, dim: int = -1) -> Tensor:
    """T^2 KL(softmax(theirs / T) || softmax(ours / T)) along a dimension, which the result has no more.

    Args:
        ours: logits of the student; minus infinity is no answer.
        theirs: of the teacher, in the same shape.
        temperature: T, by whose square the gradients keep their size.
        dim: over which the probabilities sum to 1.
    """
    is_there = theirs > ABSENT
    said, target = (
        (torch.where(is_there, logits.float(), ABSENT) / temperature).log_softmax(dim) for logits in (ours, theirs)
    )
    return temperature**2 * (target.exp() * (target - said)).sum(dim)


def binary_divergence(ours: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    """The same of each logit by itself, whose probability is its sigmoid; in the shape of both."""
    one, other = (torch.stack([logits.float(), torch.zeros_like(logits.float())], -1) for logits in (ours, theirs))
    return divergence(one, other, temperature)
