"""Sequences of random tokens: the shapes of real ones where there are no real ones."""

from collections.abc import Sequence

import numpy as np

from cloze.batch import IGNORED_LABEL
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
