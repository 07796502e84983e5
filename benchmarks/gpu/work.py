"""The batches that both sides train on: real sizes, random tokens; ours filled to constants, theirs padded to T."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.batches import padded, random_batch
from benchmarks.shapes import VOCAB_SIZE
from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.packing import StaticShape

DIFFERENT = 4
"""Batches that take turns."""


def lengths_of(kind: str, length: int, tokens: int, seed: int) -> list[int]:
    """As many sequences every time, at most ``tokens`` together: all of ``length``, or mixed, of a quarter to all."""
    if kind == "full":
        return [length] * (tokens // length)
    generator = random.Random(seed)
    lengths = [generator.randint(length // 4, length) for _ in range(int(0.97 * tokens / (0.625 * length)))]
    while sum(lengths) > tokens:  # a draw far above the mean: the longest give
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        lengths[longest] = length // 4
    return sorted(lengths, reverse=True)  # as the loader orders them


def batches_of(kind: str, length: int, tokens: int) -> list[PretrainingBatch]:
    """Packed batches without padding."""
    return [random_batch(lengths_of(kind, length, tokens, seed), VOCAB_SIZE, seed=seed) for seed in range(DIFFERENT)]


def filled(batch: PretrainingBatch, length: int, tokens: int) -> PretrainingBatch:
    """Filled up to constants, as ``cloze.data.pretraining.packing`` does it, and to the same ones."""
    shape = StaticShape.of(tokens, length, 1)
    sequences, predictions = shape.sequences, shape.predictions(0.15)
    packed, missing = batch.packed, tokens - batch.num_tokens
    rest = [min(length, missing - start) for start in range(0, missing, length)]
    bounds = torch.tensor([batch.num_tokens, *rest]).cumsum(0)[1:]
    ends = torch.cat([packed.cu_seqlens, bounds.int()])
    unmasked = predictions - len(batch.masked_labels)
    pairs = batch.next_sentence_labels
    return batch._replace(
        packed=packed._replace(
            input_ids=F.pad(packed.input_ids, (0, missing)),
            token_type_ids=F.pad(packed.token_type_ids, (0, missing)),
            position_ids=torch.cat([packed.position_ids, torch.arange(missing) % length]),
            cu_seqlens=F.pad(ends, (0, sequences + 1 - len(ends)), value=tokens),
            max_seqlen=length,
        ),
        masked_positions=F.pad(batch.masked_positions, (0, unmasked)),
        masked_labels=F.pad(batch.masked_labels, (0, unmasked), value=IGNORED_LABEL),
        next_sentence_labels=F.pad(pairs, (0, sequences - len(pairs)), value=IGNORED_LABEL),
    )


def rows_of(batch: PretrainingBatch, length: int) -> dict[str, Tensor]:
    """As a collator of ``transformers`` pads them: (B, T) with a mask of the padding."""
    rows = padded(batch._replace(packed=batch.packed._replace(max_seqlen=length)))
    rows["labels"] = rows["labels"].clone()
    return rows


class Sizes:
    """What a batch is worth: its real tokens, sequences, squared lengths, masked tokens."""

    def __init__(self, batch: PretrainingBatch) -> None:
        lengths = batch.packed.cu_seqlens.diff().long()
        self.tokens = batch.num_tokens
        self.sequences = len(lengths)
        self.squared = int((lengths**2).sum())
        self.masked = len(batch.masked_labels)


def loader_batches(
    folder: Path, length: int, tokens: int, workers: int, device: torch.device
) -> Iterator[PretrainingBatch]:
    """Those of the training loader over a synthetic corpus: planned, masked, packed and copied as ``train.py`` does."""
    import numpy as np

    from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
    from cloze.data.pretraining.loader import TrainingLoader
    from cloze.data.pretraining.masked_lm import MaskedLM
    from cloze.data.pretraining.masking import Vocabulary
    from cloze.data.pretraining.plan import BatchSize
    from cloze.text.shards import write_shard

    draw = np.random.default_rng(0)
    sizes = np.clip(np.rint(draw.lognormal(2.9, 0.7, (4000, 20))), 1, 300).astype(np.int32)  # sentences as in prose
    documents = [(draw.integers(1000, VOCAB_SIZE, row.sum(), dtype=np.uint16), row) for row in sizes]
    shard = folder / "train-00000.arrow"
    write_shard(shard, documents, VOCAB_SIZE)
    order = Order(
        shards=(shard,),
        vocabulary=Vocabulary(VOCAB_SIZE, 101, 102, 103, 0, np.zeros(VOCAB_SIZE, bool)),
        objectives=(MaskedLM(max_length=length),),
        sizes=(BatchSize(tokens=tokens),),
        seed=1,
    )
    data = MicroBatches(Windows(order), micro_batches=1, static_shapes=True)
    cuda = device.type == "cuda"
    return iter(TrainingLoader(data, num_workers=workers, pin_memory=cuda, device=device))


def endless(batches: list[Any], worth: list[Sizes]) -> Iterator[tuple[Any, Sizes]]:
    """Each batch with what it is worth, over and over."""
    return itertools.cycle(zip(batches, worth, strict=True))
