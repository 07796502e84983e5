"""Random packed batches, and the padded form of the same for the oracle."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from cloze.batch import Packed, PretrainingBatch


def random_batch(lengths: Sequence[int], vocab_size: int, mask_rate: float = 0.15, seed: int = 0) -> PretrainingBatch:
    """A batch of sequences of these lengths with random tokens, segments, masks and labels."""
    generator = torch.Generator().manual_seed(seed)
    bounds = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    tokens = int(bounds[-1])
    masked = torch.cat(
        [
            start + torch.randperm(length, generator=generator)[: max(1, round(mask_rate * length))].sort().values
            for start, length in zip(bounds[:-1].tolist(), lengths, strict=True)
        ]
    )
    ids = torch.randint(5, vocab_size, (tokens,), generator=generator)
    segments = torch.randint(0, 2, (tokens,), generator=generator)
    packed = Packed.of(ids.split(list(lengths)), segments.split(list(lengths)))
    labels = torch.randint(5, vocab_size, (len(masked),), generator=generator)
    pairs = torch.randint(0, 2, (len(lengths),), generator=generator)
    uniforms = torch.rand(len(masked), generator=generator)
    return PretrainingBatch(packed, masked, labels, pairs, tokens, len(masked), len(lengths), tokens, uniforms)


def padded(batch: PretrainingBatch) -> dict[str, Tensor]:
    """The same batch as ``transformers`` takes it: (B, T) with an attention mask and labels at every position."""
    bounds = batch.packed.cu_seqlens.tolist()
    shape = (len(bounds) - 1, batch.packed.max_seqlen)
    labels = torch.full_like(batch.packed.input_ids, -100)
    labels[batch.masked_positions] = batch.masked_labels
    columns = {
        "input_ids": batch.packed.input_ids,
        "token_type_ids": batch.packed.token_type_ids,
        "attention_mask": torch.ones_like(batch.packed.input_ids),
        "labels": labels,
    }
    rows = {name: torch.full(shape, -100 if name == "labels" else 0) for name in columns}
    for i, (start, end) in enumerate(itertools.pairwise(bounds)):
        for name, column in columns.items():
            rows[name][i, : end - start] = column[start:end]
    return {**rows, "next_sentence_label": batch.next_sentence_labels}
