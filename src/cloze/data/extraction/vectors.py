"""Compute the hidden states of a chunk of texts: windows sorted by length, packed and encoded.

Legend for shapes: see ``cloze.batch``; R rows are given out: tokens, words or texts, as the level says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.data.extraction.options import TOKEN_LEVELS, Level, Sizes
from cloze.data.extraction.partial import PartialPart
from cloze.data.extraction.text_tokens import OUTSIDE, TextTokens
from cloze.data.finetuning.batching import evaluation_batches
from cloze.data.long_texts import TextWindow, text_windows
from cloze.model.encoder import Encoder
from cloze.model.pooling import LayerPlan, grouped

COPIED = ("token", "word")
"""Levels at which every row is the hidden state of one token."""

COUNTS = "number of tokens"
"""Kept next to the results, whose names are those of layers."""

NOWHERE = -1
"""The row of a token whose hidden state is not given out."""


def rows_of(text: TextTokens, level: Level, *, special_tokens: bool = True) -> tuple[np.ndarray, int]:
    """The row of each token, (T,) int64 or ``NOWHERE``, and the number of rows of a text."""
    length = len(text.ids)
    if level == "token":
        if special_tokens:
            return np.arange(length), length
        is_token = text.words != OUTSIDE
        return np.where(is_token, np.cumsum(is_token) - 1, NOWHERE), int(is_token.sum())
    if level in ("word", "word_mean"):
        count = int(text.words.max(initial=OUTSIDE)) + 1
        rows = np.where(text.words < 0, NOWHERE, text.words).astype(np.int64)
        if level == "word":  # the first token of each
            rows[1:][text.words[1:] == text.words[:-1]] = NOWHERE
        return rows, count
    return np.zeros(length, np.int64), 1


class _Sequence(NamedTuple):
    """A window, the number of its text, and the row of each of its tokens, (T,), counted over the chunk."""

    text: int
    window: TextWindow
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """An encoder with what is wanted of it.

    Attributes:
        encoder: in evaluation mode, on the device.
        pooler: for the level of that name.
        plan: which layers.
        level: what has a hidden state.
        sizes: the windows.
        dtype: of the results.
        batch_tokens: at most this many at once.
    """

    encoder: Encoder
    pooler: nn.Module | None = None
    plan: LayerPlan
    level: Level
    sizes: Sizes
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float32))
    batch_tokens: int

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return self.encoder.word_embeddings.weight.device

    def row_counts(self, texts: Sequence[TextTokens]) -> np.ndarray:
        """(texts,) int64, the rows that each text has in the results."""
        return np.array([self._rows(text)[1] for text in texts], np.int64)

    def bytes_of(self, text: TextTokens) -> int:
        """Of the results of a text, while they are computed."""
        size = self.dtype.itemsize if self.level in COPIED else 4
        return len(self.plan.names) * self.plan.width * size * self._rows(text)[1]

    def extract(self, texts: Sequence[TextTokens], begun: PartialPart | None = None) -> dict[str, np.ndarray]:
        """Every result, (R, width), the rows of the texts one after the other.

        Args:
            texts: of a part.
            begun: knows what of them has been computed before, and keeps it.
        """
        begun = begun or PartialPart()
        sequences, total = self._sequences(texts)
        is_copied = self.level in COPIED
        start = -np.inf if self.level == "max" else 0
        kind = self.dtype if is_copied else np.dtype(np.float32)
        results = {name: np.full((total, self.plan.width), start, kind) for name in self.plan.names}
        counts = np.zeros(total, np.int64)
        kept = {**results, COUNTS: counts}
        before, finished = begun.restore(kept), 0
        with torch.inference_mode():
            for number, part in enumerate(self._batches(sequences)):
                finished += len(part)
                if number < before:
                    continue
                packed = _packed([texts[sequence.text] for sequence in part], [s.window for s in part])
                for name, vectors in zip(self.plan.names, self._results(packed), strict=True):
                    rows, found, tokens = self._reduced(part, vectors)
                    _put(results[name], rows, found, self.level)
                if not is_copied:
                    np.add.at(counts, rows, tokens)
                begun.after(number + 1, finished / len(sequences), kept)
        if not is_copied and self.level != "max":
            for result in results.values():
                result /= counts[:, None]
        return {name: result.astype(self.dtype, copy=False) for name, result in results.items()}

    def _rows(self, text: TextTokens) -> tuple[np.ndarray, int]:
        return rows_of(text, self.level, special_tokens=self.sizes.special_tokens)

    def _sequences(self, texts: Sequence[TextTokens]) -> tuple[list[_Sequence], int]:
        found, total = [], 0
        for number, text in enumerate(texts):
            local, count = self._rows(text)
            rows = np.where(local == NOWHERE, NOWHERE, local + total)
            for window in text_windows(text.first, text.second, self.sizes.max_length, self.sizes.stride):
                own = np.where(window.own, rows[window.places], NOWHERE)
                if self.level in ("cls", "pooler"):  # of every window: no part of a long text goes unread
                    own = np.full(len(own), NOWHERE)
                    own[0] = total
                found.append(_Sequence(number, window, own))
            total += count
        return found, total

    def _batches(self, sequences: list[_Sequence]) -> Iterator[list[_Sequence]]:
        """Sorted by length, so that attention takes many of one length at once; the longest first."""
        lengths = np.array([len(sequence.rows) for sequence in sequences])
        for numbers in evaluation_batches(lengths, self.batch_tokens):
            yield [sequences[number] for number in numbers]

    def _results(self, packed: Packed) -> list[Tensor]:
        """On the device, (N, width) each; for the pooler (B, D)."""
        packed = packed.to(self.device)
        states = self.encoder.hidden_states(packed, self.plan.numbers)
        if self.pooler is not None:
            return [self.pooler(states[-1], packed)]
        return self.plan.results(states)

    def _reduced(self, part: list[_Sequence], vectors: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows of a batch, their hidden states, and how many tokens each was made of."""
        rows = np.concatenate([sequence.rows for sequence in part])
        tokens = np.flatnonzero(rows != NOWHERE)
        if self.pooler is not None:
            return rows[tokens], vectors.float().cpu().numpy(), np.ones(len(tokens), np.int64)
        rows = rows[tokens]
        index = torch.from_numpy(tokens).to(self.device)
        if self.level in COPIED:
            chosen = vectors if len(tokens) == len(vectors) else vectors[index]
            return rows, chosen.float().cpu().numpy(), np.ones(len(rows), np.int64)
        # A new group where the row changes; windows of one text may follow each other and share one.
        starts = np.flatnonzero(np.diff(rows, prepend=NOWHERE))
        numbers = np.diff(starts, append=len(rows))
        if len(rows):
            how = "max" if self.level == "max" else "sum"
            pooled = grouped(vectors.float(), index, torch.from_numpy(starts).to(self.device), how)
            return rows[starts], pooled.cpu().numpy(), numbers
        return rows, np.zeros((0, vectors.shape[1]), np.float32), numbers


def _put(result: np.ndarray, rows: np.ndarray, vectors: np.ndarray, level: Level) -> None:
    if level in COPIED:
        result[rows] = vectors
        return
    join = np.maximum if level == "max" else np.add
    if len(np.unique(rows)) == len(rows):
        result[rows] = join(result[rows], vectors)
    else:  # several windows of one text
        join.at(result, rows, vectors)


def _packed(texts: list[TextTokens], windows: list[TextWindow]) -> Packed:
    """The windows side by side."""
    pairs = list(zip(texts, windows, strict=True))
    return Packed.of(
        [text.ids[window.places] for text, window in pairs], [text.segments[window.places] for text, window in pairs]
    )


def is_pooled(level: Level) -> bool:
    """Whether a text has one embedding."""
    return level not in TOKEN_LEVELS
