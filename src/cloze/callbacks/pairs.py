"""What the model says of sentence pairs: examples beside the accuracy."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.callbacks.samples import SHORTEST, pack
from cloze.dashboard import Cell, Table, dashboards
from cloze.text.remote import Location
from cloze.text.shards import Shard, read_shard
from cloze.text.tokenizer import CLS, SEP

LONGEST = 40  # pieces of a sentence in a pair
COLUMNS = ("step", "A", "B", "truth", "the model says", "probability of the truth")


class Pair(NamedTuple):
    """Two sentences as ids, and whether B is what the text goes on with (label 0) or not (label 1)."""

    a: list[int]
    b: list[int]
    label: int


class PairExamples(pl.Callback):
    """At every evaluation, what the model says of some held-out pairs: the table `val/sentence_pairs` of dashboards.

    Pairs of single sentences, where training has runs of them; half of them are true. Without a dashboard, or where the
    objective has no pairs, nothing is computed.

    Args:
        count: of pairs.
    """

    def __init__(self, *, count: int = 8) -> None:
        self.count = count
        self._tokenizer: Tokenizer
        self._pairs: list[Pair] = []
        self._names = ("next", "random")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        kind = data.objective.pairs
        if kind == "none" or not dashboards(trainer.loggers):
            return
        swapped = kind == "sentence_order"
        self._names = ("in order", "swapped") if swapped else ("next", "random")
        shards = [data.folder / info.file for info in data.manifest.heldout]
        self._tokenizer = data.tokenizer
        self._pairs = list(heldout_pairs(shards, self.count, swapped=swapped))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not self._pairs:
            return
        with trainer.precision_plugin.forward_context():
            shares = self.probabilities(pl_module)  # by all ranks: each may hold a part of the model
        if trainer.is_global_zero:
            rows: list[list[Cell]] = [
                [
                    trainer.global_step,
                    self._tokenizer.decode(pair.a),
                    self._tokenizer.decode(pair.b),
                    self._names[pair.label],
                    self._names[int(np.argmax(share))],
                    share[pair.label],
                ]
                for pair, share in zip(self._pairs, shares, strict=True)
            ]
            for dashboard in dashboards(trainer.loggers):
                dashboard.log_table("val/sentence_pairs", Table(COLUMNS, rows), trainer.global_step)

    @torch.no_grad()
    def probabilities(self, pl_module: pl.LightningModule) -> list[list[float]]:
        """Of each pair those of both labels."""
        special = self._tokenizer.get_vocab()
        cls, sep = special[CLS], special[SEP]
        rows = [[cls, *pair.a, sep, *pair.b, sep] for pair in self._pairs]
        types = [[0] * (len(pair.a) + 2) + [1] * (len(pair.b) + 1) for pair in self._pairs]
        nowhere = torch.zeros(0, dtype=torch.int64, device=pl_module.device)
        logits = pl_module.model(pack(rows, pl_module.device, types), nowhere).next_sentence  # type: ignore[operator]
        found: list[list[float]] = logits.float().softmax(-1).tolist()
        return found


def heldout_pairs(shards: list[Location], count: int, *, swapped: bool) -> Iterator[Pair]:
    """Pairs spread over the first held-out shard, true and untrue in turn.

    Args:
        shards: held-out ones.
        count: at most so many.
        swapped: untrue pairs have their sentences swapped; else B comes from another document.
    """
    for path in shards[:1]:
        shard = read_shard(path)
        lengths = np.diff(shard.sentence_offsets)
        good = (lengths >= SHORTEST) & (lengths <= LONGEST)
        document = np.searchsorted(shard.document_offsets, np.arange(len(lengths)), side="right")
        firsts = np.flatnonzero(good[:-1] & good[1:] & (document[:-1] == document[1:]))
        chosen = firsts[np.linspace(0, len(firsts) - 1, min(count, len(firsts))).astype(int)]
        for number, first in enumerate(chosen):
            a, b = _ids(shard, first), _ids(shard, first + 1)
            others = np.flatnonzero(good & (document != document[first]))
            if number % 2 == 0 or not (swapped or len(others)):
                yield Pair(a, b, 0)
            elif swapped:
                yield Pair(b, a, 1)
            else:
                yield Pair(a, _ids(shard, others[len(others) * number // len(chosen)]), 1)


def _ids(shard: Shard, sentence: int) -> list[int]:
    begin, end = shard.sentence_offsets[sentence : sentence + 2]
    return [int(token) for token in shard.tokens[begin:end]]
