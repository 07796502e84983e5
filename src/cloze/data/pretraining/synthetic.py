"""Batches of random tokens: the shapes of real ones where there are no real ones."""

from collections.abc import Sequence

import numpy as np
import torch

from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.pairs import Segments
from cloze.data.pretraining.plan import Plan, Sequences
from cloze.text.shards import Shard

SPECIAL = 5
"""Ids below are those of [PAD], [UNK], [CLS], [SEP] and [MASK]."""


def random_sequences(lengths: Sequence[int], segments: Segments, vocab_size: int) -> Sequences:
    """Sequences of these lengths with random tokens, as an objective takes them; every second pair is a true one."""
    generator, special = np.random.default_rng(0), segments.special_tokens
    text = np.array(lengths, np.int64) - special
    starts = np.concatenate([[0], text.cumsum()])
    second = text // 2 if segments.pairs != "none" else np.zeros_like(text)
    first = text - second
    labels = np.arange(len(text)) % 2 if segments.pairs != "none" else np.full_like(text, IGNORED_LABEL)
    rows = np.stack([starts[:-1], first, starts[:-1] + first, second, labels], axis=1)
    tokens = generator.integers(SPECIAL, vocab_size, starts[-1], dtype=np.uint32)
    plan = Plan(rows, text + special, np.array([0, len(text)]), np.uint64(0))
    vocabulary = Vocabulary(vocab_size, 2, 3, 4, 0, np.zeros(vocab_size, np.bool_))
    return Sequences(Shard(tokens, starts, np.array([0, len(text)])), plan, np.arange(len(text)), vocabulary)


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
    return PretrainingBatch(packed, masked, labels, pairs, tokens, len(masked), len(lengths))
