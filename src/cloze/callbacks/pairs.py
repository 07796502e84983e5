"""Sample predictions for sentence pairs."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import Packed
from cloze.callbacks.samples import SHORTEST, heldout_texts
from cloze.loggers.protocol import Cell, Table, dashboards
from cloze.text.special_tokens import sequence_ends

LONGEST = 40  # tokens of a sentence in a pair
COLUMNS = ("step", "A", "B", "truth", "prediction", "probability of the label")


class Pair(NamedTuple):
    """Two sentences, and whether B is what follows in the text (label 0) or not (label 1)."""

    a: str
    b: str
    label: int


class PairExamples(pl.Callback):
    """At every evaluation, predictions for some held-out pairs: the table `val/sentence_pairs` of dashboards.

    Pairs of single sentences, where training has runs of them; half of them are true. Without a dashboard, or where the
    objective has no pairs or the module no `pair_logits`, nothing is computed.

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
        if kind == "none" or not hasattr(pl_module, "pair_logits") or not dashboards(trainer.loggers):
            return
        swapped = kind == "sentence_order"
        self._names = ("in order", "swapped") if swapped else ("next", "random")
        self._tokenizer = data.tokenizer
        runs = [run for texts in heldout_texts(data) for run in _runs(texts, data.tokenizer)]
        self._pairs = heldout_pairs(runs, self.count, swapped=swapped)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not self._pairs:
            return
        with trainer.precision_plugin.forward_context():
            shares = self.probabilities(pl_module)  # by all ranks: each may hold a part of the model
        if trainer.is_global_zero:
            rows: list[list[Cell]] = [
                [
                    trainer.global_step,
                    pair.a,
                    pair.b,
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
        cls, sep = (token.id for token in sequence_ends(self._tokenizer))
        texts = [text for pair in self._pairs for text in (pair.a, pair.b)]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        pairs = list(zip(ids[::2], ids[1::2], strict=True))
        rows = [[cls, *a, sep, *b, sep] for a, b in pairs]
        types = [[0] * (len(a) + 2) + [1] * (len(b) + 1) for a, b in pairs]
        module: Any = pl_module
        logits = module.pair_logits(Packed.of(rows, types).to(module.device))
        found: list[list[float]] = logits.float().softmax(-1).tolist()
        return found


def heldout_pairs(documents: Sequence[Sequence[str]], count: int, *, swapped: bool) -> list[Pair]:
    """Pairs spread over the documents, true and untrue in turn.

    Args:
        documents: of sentences that follow each other.
        count: at most this many.
        swapped: untrue pairs have their sentences swapped; else B comes from another document.
    """
    firsts = [(texts, place) for texts in documents for place in range(len(texts) - 1)]
    chosen = [firsts[int(n)] for n in np.linspace(0, len(firsts) - 1, min(count, len(firsts)))]
    pairs = []
    for number, (texts, place) in enumerate(chosen):
        a, b = texts[place], texts[place + 1]
        others = [text for other in documents if other is not texts for text in other]
        if number % 2 == 0 or not (swapped or others):
            pairs.append(Pair(a, b, 0))
        elif swapped:
            pairs.append(Pair(b, a, 1))
        else:
            pairs.append(Pair(a, others[len(others) * number // len(chosen)], 1))
    return pairs


def _runs(texts: Sequence[str], tokenizer: Tokenizer) -> Iterator[list[str]]:
    """The stretches of sentences that are long and short enough to be read, of one document."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    for fits, stretch in groupby(
        zip(texts, encodings, strict=True), key=lambda pair: SHORTEST <= len(pair[1].ids) <= LONGEST
    ):
        if fits:
            yield [text for text, _ in stretch]
