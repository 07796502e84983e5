"""Batches of random tokens: the shapes of real ones where there are no real ones."""

from collections.abc import Sequence

import torch

from cloze.batch import Packed, PretrainingBatch


def random_batch(lengths: Sequence[int], vocab_size: int, mask_rate: float = 0.15, seed: int = 0) -> PretrainingBatch:
    """A batch of sequences of these lengths with random tokens, segments, masks and labels."""
    generator = torch.Generator().manual_seed(seed)
    bounds = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    tokens = int(bounds[-1])
    positions = torch.cat([torch.arange(length) for length in lengths])
    masked = torch.cat(
        [
            start + torch.randperm(length, generator=generator)[: max(1, round(mask_rate * length))].sort().values
            for start, length in zip(bounds[:-1].tolist(), lengths, strict=True)
        ]
    )
    packed = Packed(
        torch.randint(5, vocab_size, (tokens,), generator=generator),
        torch.randint(0, 2, (tokens,), generator=generator),
        positions,
        bounds.int(),
        max(lengths),
    )
    labels = torch.randint(5, vocab_size, (len(masked),), generator=generator)
    pairs = torch.randint(0, 2, (len(lengths),), generator=generator)
    return PretrainingBatch(packed, masked, labels, pairs, tokens, len(masked), len(lengths))
