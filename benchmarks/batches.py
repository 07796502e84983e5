"""Random packed batches, and the padded form of the same for the oracle."""

import itertools

import torch
from torch import Tensor

from cloze.batch import PretrainingBatch
from cloze.data.pretraining.synthetic import random_batch

__all__ = ["padded", "random_batch"]


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
