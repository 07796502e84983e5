"""Find the best answers from the logits of all windows of a passage, in NumPy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cloze.data.finetuning.items import Item
from cloze.data.finetuning.questions import Window

CELLS = 1 << 22
"""Spans that are looked at together, in 16 MiB."""

NOTHING = -1e30
"""The logit of a token that cannot begin, or cannot end, an answer; unlike minus infinity it can be subtracted."""


class Answers(NamedTuple):
    """The best spans of E questions, by descending probability.

    Attributes:
        characters: (E, n, 2) int, the first character of each span and its end.
        probabilities: (E, n) of the span; 0 where there are fewer than n.
        no_answer_probabilities: (E,) that there is none; 0 where every question has one.
        no_answer_scores: (E,) the logits of "no answer" less those of the best span (Devlin et al. 2019, section 4.3:
            the question is answered unless this exceeds a threshold).
    """

    characters: np.ndarray
    probabilities: np.ndarray
    no_answer_probabilities: np.ndarray
    no_answer_scores: np.ndarray


class Spans(NamedTuple):
    """The n best spans of each of W windows, in no order.

    Attributes:
        scores: (W, n).
        characters: (W, n, 2) int, as in `Answers`.
        totals: (W,) the logarithm of the sum of exp(score) over all spans.
    """

    scores: np.ndarray
    characters: np.ndarray
    totals: np.ndarray


def best_answers(
    items: Sequence[Item], outputs: Sequence[np.ndarray], *, n_best: int, max_answer_length: int, no_answer: bool
) -> Answers:
    """The best answers to each question.

    A span scores the logit of its first token as a start plus that of its last as an end (Devlin et al. 2019, section
    4.2). All spans of up to `max_answer_length` tokens are looked at, each in the window to which its first token
    belongs, but those that begin or end with a token that is white space; a softmax over all of them, and "no answer"
    if there is that, makes probabilities. "No answer" scores what [CLS] does in the window where that is least
    (google-research/bert, run_squad.py, ``min_null_feature_index``).

    Args:
        items: the windows, those of each question side by side; every question has one.
        outputs: (tokens, 2) of each window.
        n_best: spans to return for each question.
        max_answer_length: tokens of the longest span.
        no_answer: whether a question may have none.
    """
    spans = _best_spans([item.origin for item in items], outputs, n_best, max_answer_length)
    questions = np.array([item.example for item in items])
    first = np.flatnonzero(np.diff(questions, prepend=-1))  # window of each question
    totals = np.logaddexp.reduceat(spans.totals, first)
    nulls = np.minimum.reduceat(np.array([logits[0].sum() for logits in outputs], np.float64), first)
    if no_answer:
        totals = np.logaddexp(totals, nulls)
    # Best first within each question; the spans of its windows are neighbours, and there are n at least.
    ranked = np.lexsort((-spans.scores.ravel(), np.repeat(questions, n_best)))
    best = ranked[first[:, None] * n_best + np.arange(n_best)]  # (E, n)
    scores = spans.scores.ravel()[best]
    return Answers(
        characters=spans.characters.reshape(-1, 2)[best],
        probabilities=np.where(scores > NOTHING / 2, np.exp(scores - totals[:, None]), 0.0),
        no_answer_probabilities=np.exp(nulls - totals) if no_answer else np.zeros(len(first)),
        no_answer_scores=nulls - scores[:, 0],
    )


def _best_spans(windows: Sequence[Window], outputs: Sequence[np.ndarray], n_best: int, max_answer_length: int) -> Spans:
    """Those of all windows, windows of similar length together."""
    lengths = np.array([len(window.offsets) for window in windows])
    spans = Spans(
        np.empty((len(windows), n_best)), np.empty((len(windows), n_best, 2), np.int64), np.empty(len(windows))
    )
    order = np.argsort(-lengths, kind="stable")
    while len(order):
        width = max(int(lengths[order[0]]), n_best)  # so that there are n spans, if only impossible ones
        part, order = np.split(order, [max(1, CELLS // (width * max_answer_length))])
        found = _spans_of([windows[i] for i in part], [outputs[i] for i in part], width, n_best, max_answer_length)
        for whole, some in zip(spans, found, strict=True):
            whole[part] = some
    return spans


def _spans_of(
    windows: Sequence[Window], outputs: Sequence[np.ndarray], width: int, n_best: int, max_answer_length: int
) -> Spans:
    starts = np.full((len(windows), width), NOTHING, np.float32)
    ends = np.full((len(windows), width + max_answer_length - 1), NOTHING, np.float32)
    offsets = np.zeros((len(windows), ends.shape[1], 2), np.int64)
    for place, (window, logits) in enumerate(zip(windows, outputs, strict=True)):
        length, (own, own_end) = len(window.offsets), window.own
        is_text = window.offsets[:, 0] <= window.offsets[:, 1]
        shown = np.where(is_text[:, None], logits[window.row : window.row + length], NOTHING)
        starts[place, own:own_end] = shown[own:own_end, 0]
        ends[place, :length] = shown[:, 1]
        offsets[place, :length] = window.offsets
    # (W, width, lengths): a span for each first token and each number of tokens behind it.
    table = starts[:, :, None] + sliding_window_view(ends, max_answer_length, axis=1)
    table = table.reshape(len(windows), -1)
    best = np.argpartition(table, -n_best, axis=1)[:, -n_best:]
    first, behind = np.divmod(best, max_answer_length)
    scores = np.take_along_axis(table, best, axis=1)
    top = scores.max(axis=1)
    totals = top + np.log(np.exp(table - top[:, None]).sum(axis=1, dtype=np.float64))
    rows = np.arange(len(windows))[:, None]
    characters = np.stack([offsets[rows, first, 0], offsets[rows, first + behind, 1]], axis=-1)
    return Spans(scores, characters, totals)
