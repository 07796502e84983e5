"""Shards for the tests: mostly synthetic, their documents given as the lengths of their sentences."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloze.data.pretraining.masking import Vocabulary
from cloze.text.shards import Shard, write_shard

Documents = list[list[int]]

CLS, SEP, MASK, PAD = 2, 3, 4, 0
VOCAB_SIZE = 1000
ORDINARY = 10  # the first id that is no special token


class WikiText(NamedTuple):
    """The validation part of WikiText-2 with Google's uncased vocabulary: an article, or a paragraph, a document."""

    articles: Shard
    paragraphs: Shard
    vocabulary: Vocabulary


def vocabulary() -> Vocabulary:
    """Every third ordinary token continues a word."""
    continues = np.arange(VOCAB_SIZE) % 3 == 0
    continues[:ORDINARY] = False
    return Vocabulary(VOCAB_SIZE, CLS, SEP, MASK, PAD, continues)


def shard_of(documents: Documents, seed: int = 0) -> Shard:
    """A shard of ordinary tokens."""
    lengths = np.array([length for document in documents for length in document], np.int64)
    tokens = np.random.default_rng(seed).integers(ORDINARY, VOCAB_SIZE, lengths.sum(), dtype=np.uint16)
    tokens.flags.writeable = False  # as a mapped file is
    return Shard(
        tokens,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.cumsum([0, *map(len, documents)]).astype(np.int64),
    )


def prose(documents: int, seed: int = 0) -> Documents:
    """Documents with sentence lengths as in prose."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.rint(rng.lognormal(2.9, 0.7, rng.geometric(0.05))), 1, 300).astype(int).tolist()
        for _ in range(documents)
    ]


def write_shards(folder: Path, *shards: Documents) -> tuple[Path, ...]:
    """Files of shards."""
    paths = []
    for number, documents in enumerate(shards):
        tokens, sentences, boundaries, _ = shard_of(documents, seed=number)
        content = [
            (tokens[sentences[first] : sentences[last]], np.diff(sentences[first : last + 1]).astype(np.int32))
            for first, last in pairwise(boundaries)
        ]
        paths.append(folder / f"train-{number:05}.arrow")
        write_shard(paths[-1], content, VOCAB_SIZE)
    return tuple(paths)
