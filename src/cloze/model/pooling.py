"""Select, combine and pool layers for output. Legend for shapes: see ``cloze.batch``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.model.adaptation import Pooling
from cloze.model.kernels.attention import Padded, Sequences

LAYERS = ("all", "last", "second_to_last", "sum_last_4", "concat_last_4", "weighted_sum")
JOINED = "features"
"""What a single result is called; several are ``layer_0``, ``layer_1``, and so on."""


class LayerPlan(NamedTuple):
    """The layers to read from an encoder, and how to combine them.

    Attributes:
        numbers: of the layers that are read, lowest first: 0 is the embeddings, then the blocks.
        names: of the results.
        joined: ``""`` gives each layer out by itself; ``sum`` and ``concat`` make one of them.
        weights: of the layers in the sum.
        width: of the hidden states of a result.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    joined: str
    weights: tuple[float, ...]
    width: int

    def results(self, states: Sequence[Tensor]) -> list[Tensor]:
        """The results, (N, width) each, from the hidden states (N, D) of the layers that are read."""
        chosen = list(states)
        if self.joined == "concat":
            return [torch.cat(chosen, dim=1)]
        if self.joined == "sum":
            total = chosen[0] * self.weights[0]
            for state, weight in zip(chosen[1:], self.weights[1:], strict=True):
                total = torch.add(total, state, alpha=weight)
            return [total]
        return chosen


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """Which layers are wanted, as in table 7 of the BERT paper.

    Attributes:
        layers: ``all``, a number or a list of numbers gives each layer out by itself, 0 being the embeddings; the other
            names of ``LAYERS`` give one result.
        weights: of the weighted sum, lowest layer first, used as they stand: one for each block, or one more for the
            embeddings.
    """

    layers: str | int | list[int] = "last"
    weights: list[float] | None = None

    def plan(self, num_hidden_layers: int, hidden_size: int) -> LayerPlan:
        """The plan for an encoder of this many blocks and such a width.

        Raises:
            ValueError: there is no such layer, or the weights are not as many as the layers.
        """
        top = num_hidden_layers
        if (self.weights is not None) != (self.layers == "weighted_sum"):
            raise ValueError(
                f"layers={self.layers} and weights={self.weights}: layers=weighted_sum needs weights=[...], "
                f"{top} numbers for the blocks or {top + 1} with the embeddings, and only it takes them"
            )
        if self.layers in ("sum_last_4", "concat_last_4"):
            if top < 4:
                raise ValueError(f"layers={self.layers}: the model has only {top} blocks")
            joined = str(self.layers).partition("_")[0]
            width = hidden_size * (4 if joined == "concat" else 1)
            return LayerPlan(tuple(range(top - 3, top + 1)), (JOINED,), joined, (1.0,) * 4, width)
        if self.weights is not None:
            count = len(self.weights)
            if count not in (top, top + 1):
                raise ValueError(
                    f"weights: has {count} numbers, but expected {top} for the blocks of this model, "
                    f"or {top + 1} with the embeddings"
                )
            return LayerPlan(tuple(range(top + 1 - count, top + 1)), (JOINED,), "sum", tuple(self.weights), hidden_size)
        numbers = self._numbers(top)
        single = self.layers in ("last", "second_to_last")
        names = (JOINED,) if single else tuple(f"layer_{number}" for number in numbers)
        return LayerPlan(numbers, names, "", (), hidden_size)

    def _numbers(self, top: int) -> tuple[int, ...]:
        """The layers that are given out each by itself."""
        named = {"all": range(top + 1), "last": [top], "second_to_last": [top - 1]}
        if isinstance(self.layers, str):
            if re.fullmatch(r"\d+", self.layers):
                found: Sequence[int] = [int(self.layers)]
            elif self.layers in named:
                found = named[self.layers]
            else:
                raise ValueError(
                    f"layers={self.layers}: must be one of {', '.join(LAYERS)}, a number or a list as [0,{top}]"
                )
        else:
            found = [self.layers] if isinstance(self.layers, int) else self.layers
        numbers = tuple(sorted(set(found)))
        if not numbers or len(numbers) != len(found):
            raise ValueError(f"layers={self.layers}: each layer is to be named once, and at least one")
        if absent := [number for number in numbers if not 0 <= number <= top]:
            raise ValueError(
                f"layers={self.layers}: the model has the layers 0 (the embeddings) to {top}, but no {absent[0]}"
            )
        return numbers


def grouped(vectors: Tensor, tokens: Tensor, starts: Tensor, how: str) -> Tensor:
    """One embedding of each group of tokens, the sum or the maximum: (N, D) -> (groups, D).

    Args:
        vectors: of all tokens.
        tokens: those that count, group after group.
        starts: (groups,) where each group begins in `tokens`.
        how: ``sum`` or ``max``.
    """
    return F.embedding_bag(tokens, vectors, starts, mode=how)


def pool(hidden: Tensor, sequences: Sequences, how: Pooling, skipped: Tensor | None = None) -> Tensor:
    """One vector a sequence, (B, D), from hidden states (N, D) of packed tokens or (B, T, D) of padded ones.

    Args:
        hidden: of the tokens.
        sequences: where they begin and end.
        how: the pooling.
        skipped: (B,) tokens at the beginning of each that are left out, of packed tokens only.
    """
    if isinstance(sequences, Padded):
        return _pool_padded(hidden, sequences.attention_mask.bool(), how)
    starts, ends = sequences.cu_seqlens[:-1].long(), sequences.cu_seqlens[1:].long()
    if how == "cls":
        return hidden[starts]
    if how == "last":
        return hidden[ends - 1]
    places = torch.arange(len(hidden), device=hidden.device)
    if skipped is not None:
        first = torch.repeat_interleave(starts + skipped, ends - starts, output_size=len(hidden))
        kept = places >= first
        places = places[kept]
        starts = F.pad((ends - starts - skipped).cumsum(0), (1, 0))[:-1]
    if how != "weighted_mean":
        return F.embedding_bag(places, hidden, starts, mode=how)
    weights = 1.0 + sequences.position_ids[places].to(hidden.dtype)
    sums = F.embedding_bag(places, hidden, starts, mode="sum", per_sample_weights=weights)
    total = F.embedding_bag(places, torch.ones_like(hidden[:, :1]), starts, mode="sum", per_sample_weights=weights)
    return sums / total


def _pool_padded(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """The same of (B, T, D), where ``mask`` (B, T) is true at real tokens, which stand at the beginning."""
    if how == "cls":
        return hidden[:, 0]
    lengths = mask.sum(1)
    if how == "last":
        return hidden.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, hidden.shape[-1]))[:, 0]
    if how == "max":
        return hidden.masked_fill(~mask[..., None], float("-inf")).amax(1)
    weights = mask.to(hidden.dtype)
    if how == "weighted_mean":
        weights = weights * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
