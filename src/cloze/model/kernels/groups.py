"""How attention on a CPU is computed: neighbouring sequences of one length, blocks of a long one, or some queries.

A group of these takes its operands from the stream of tokens and puts results and gradients where they belong. Legend
for shapes: see ``cloze.batch``.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed
from cloze.model.kernels.remembered import remembered


def equal_lengths(cu_seqlens: Tensor) -> Iterator[tuple[int, int, int]]:
    """Runs of neighbouring sequences of one length: (first token, number of sequences, length)."""
    bounds = cu_seqlens.tolist()
    start = count = length = 0
    for begin, end in itertools.pairwise(bounds):
        if end - begin != length:
            if count and length:
                yield start, count, length
            start, count, length = begin, 0, end - begin
        count += 1
    if count and length:
        yield start, count, length


def heads(block: Tensor, count: int) -> Tensor:
    """(count * T, ..., H, K) -> (count, ..., H, T, K), a view."""
    split: Tensor = block.unflatten(0, (count, -1))  # (count, T, ..., H, K)
    return split.movedim(1, -2)


def band(length: int, window: int | None, like: Tensor) -> Tensor | None:
    """(T, T) to be added to scores: 0 where tokens see each other, else minus infinity; None where all do."""
    if window is None or length <= window + 1:
        return None
    places = torch.arange(length, device=like.device)
    near = (places[:, None] - places).abs() <= window
    return torch.zeros(length, length, dtype=like.dtype, device=like.device).masked_fill_(~near, -math.inf)


MIN_BLOCK = 32
"""Tokens of a block: smaller products take longer a token."""


@dataclass(frozen=True)
class Group:
    """Neighbouring sequences of one length, computed as wholes.

    Attributes:
        tokens: of the stream, and of the results.
        sequences: G.
        window: of the attention.
    """

    tokens: slice
    sequences: int
    window: int | None

    def operands(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys and values, (G, H, T, K) each, views; and what is added to their scores."""
        query, key, value = (heads(part, self.sequences) for part in qkv[self.tokens].unbind(1))
        return query, key, value, None if self._band is None else self._band.to(qkv.dtype)

    @cached_property
    def _band(self) -> Tensor | None:
        length = (self.tokens.stop - self.tokens.start) // self.sequences
        return band(length, self.window, torch.empty(0))

    def queries(self, part: Tensor) -> Tensor:
        """(G * T, H, K) -> (G, H, T, K)."""
        return heads(part, self.sequences)

    def stream(self, mixed: Tensor) -> Tensor:
        """(G, H, T, K) -> (G * T, H, K)."""
        return mixed.transpose(1, 2).flatten(0, 1)

    def keep(self, grad_qkv: Tensor, parts: Sequence[Tensor]) -> None:
        """The gradients of ``operands``, where they belong."""
        for there, part in zip(grad_qkv[self.tokens].unbind(1), parts, strict=True):
            there.copy_(self.stream(part))

    @property
    def results(self) -> slice:
        """Where they lie."""
        return self.tokens


@dataclass(frozen=True, eq=False)
class Chosen:
    """Neighbouring sequences of one length, of whose tokens some are queries.

    Each sequence has room for as many queries as the one with most of them; its first token fills what is left.

    Attributes:
        tokens: of the stream.
        queried: (G, Q) which of these are queries.
        filled: (R',) the places in the flat G * Q that hold a wanted one.
        results: (R',) where their results lie.
    """

    tokens: slice
    queried: Tensor
    filled: Tensor
    results: Tensor

    def operands(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Queries (G, H, Q, K), keys and values (G, H, T, K)."""
        query, key, value = qkv[self.tokens].unbind(1)
        count = len(self.queried)
        return query[self.queried].transpose(1, 2), heads(key, count), heads(value, count), None

    def queries(self, part: Tensor) -> Tensor:
        """(R', H, K) -> (G, H, Q, K), zeros where none is wanted."""
        placed = part.new_zeros(self.queried.numel(), *part.shape[1:])
        placed[self.filled] = part
        return placed.unflatten(0, self.queried.shape).transpose(1, 2)  # type: ignore[no-any-return]

    def stream(self, mixed: Tensor) -> Tensor:
        """(G, H, Q, K) -> (R', H, K)."""
        return mixed.transpose(1, 2).flatten(0, 1)[self.filled]

    def keep(self, grad_qkv: Tensor, parts: Sequence[Tensor]) -> None:
        """The gradients of ``operands``, where they belong: a token may be wanted twice."""
        own, *shared = parts
        query, *others = grad_qkv[self.tokens].unbind(1)
        query.index_add_(0, self.queried.flatten()[self.filled], self.stream(own))
        for there, part in zip(others, shared, strict=True):
            there.copy_(part.transpose(1, 2).flatten(0, 1))


@dataclass(frozen=True)
class Blocks:
    """One sequence in G blocks of C tokens, at least as many as its window, each with its keys and its neighbours'.

    Attributes:
        tokens: of the stream.
        length: T, their number.
        window: of the attention.
        size: C.
    """

    tokens: slice
    length: int
    window: int
    size: int

    @property
    def blocks(self) -> int:
        """G."""
        return -(-self.length // self.size)

    @property
    def results(self) -> slice:
        """Where they lie."""
        return self.tokens

    def operands(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries (G, H, C, K), keys and values (G, H, 3 C, K), and what is added to their scores."""
        query, key, value = qkv[self.tokens].unbind(1)
        return self.queries(query), self._shared(key), self._shared(value), self._seen.to(qkv.dtype)

    def queries(self, part: Tensor) -> Tensor:
        """(T, H, K) -> (G, H, C, K)."""
        filled = F.pad(part, (0, 0, 0, 0, 0, self.blocks * self.size - self.length))
        return filled.unflatten(0, (self.blocks, self.size)).transpose(1, 2)  # type: ignore[no-any-return]

    def _shared(self, part: Tensor) -> Tensor:
        """(T, H, K) -> (G, H, 3 C, K), a view of a filled copy."""
        behind = (self.blocks + 1) * self.size - self.length
        return F.pad(part, (0, 0, 0, 0, self.size, behind)).unfold(0, 3 * self.size, self.size).movedim(-1, -2)

    @cached_property
    def _seen(self) -> Tensor:
        """(G, 1, C, 3 C); a query behind the sequence sees itself, so that none is NaN."""
        block = torch.arange(self.blocks)[:, None, None] * self.size
        query = block + torch.arange(self.size)[:, None]
        key = block + torch.arange(-self.size, 2 * self.size)
        near = ((query - key).abs() <= self.window) & (key >= 0) & ((key < self.length) | (key == query))
        return torch.zeros(near.shape).masked_fill_(~near, -math.inf)[:, None]

    def stream(self, mixed: Tensor) -> Tensor:
        """(G, H, C, K) -> (T, H, K)."""
        return mixed.transpose(1, 2).flatten(0, 1)[: self.length]

    def keep(self, grad_qkv: Tensor, parts: Sequence[Tensor]) -> None:
        """The gradients of ``operands``, where they belong: those of shared keys and values are added up."""
        own, *shared = parts
        query, *others = grad_qkv[self.tokens].unbind(1)
        query.copy_(self.stream(own))
        for there, part in zip(others, shared, strict=True):
            before, total, after = part.unflatten(2, (3, self.size)).unbind(2)  # (G, H, C, K) each
            total = total.contiguous()
            total[:-1] += before[1:]
            total[1:] += after[:-1]
            there.copy_(self.stream(total))


def chosen(packed: Packed, rows: Tensor) -> Iterator[Chosen]:
    """The sequences with the rows that are wanted."""
    rows, order = rows.sort()
    for start, count, length in equal_lengths(packed.cu_seqlens):
        begin, end = torch.searchsorted(rows, torch.tensor([start, start + count * length])).tolist()
        if begin == end:
            continue
        wanted = rows[begin:end] - start
        sequence = wanted // length
        counts = sequence.bincount(minlength=count)
        slot = torch.arange(end - begin) - (counts.cumsum(0) - counts)[sequence]
        filled = sequence * counts.max() + slot
        queried = (torch.arange(count) * length).repeat_interleave(counts.max())
        queried[filled] = wanted
        yield Chosen(slice(start, start + count * length), queried.unflatten(0, (count, -1)), filled, order[begin:end])


def groups(packed: Packed, window: int | None, rows: Tensor | None) -> Sequence[Group | Blocks | Chosen]:
    """The sequences as they are computed; the same objects for all blocks with a window, which share what it hides."""
    if rows is not None:
        return list(chosen(packed, rows))
    return remembered(packed.cu_seqlens, ("groups", window), lambda: list(_whole(packed, window)))


def _whole(packed: Packed, window: int | None) -> Iterator[Group | Blocks]:
    """In blocks where a sequence has more than three of them."""
    for start, count, length in equal_lengths(packed.cu_seqlens):
        size = max(window or 0, MIN_BLOCK)
        if window is None or length <= 3 * size:
            yield Group(slice(start, start + count * length), count, window)
        else:
            for begin in range(start, start + count * length, length):
                yield Blocks(slice(begin, begin + length), length, window, size)
