"""A linear probe on the hidden states of each layer, and its held-out accuracy."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.data.extraction.feature_files import WrittenFeatures
from cloze.errors import InputError
from cloze.report.markdown import table
from cloze.report.picture import INK, LINES, blank, end_at, png
from cloze.text.progress import ReportsProgress, silent

HELD_OUT = 0.2
"""The share of the texts that a probe is judged by."""

MOST_CLASSES = 1000
STEPS = 200  # of L-BFGS; a probe has mostly settled long before
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, kw_only=True)
class LayerScore:
    """How well one layer tells the label: shares of right answers."""

    layer: str
    held_out: float
    trained_on: float


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """All layers.

    Attributes:
        label: the column.
        classes: that it holds.
        texts: with a label.
        held_out_texts: of these, those that the probes were judged by.
        majority: held-out share of right answers of always the class that is commonest in training.
        layers: lowest first.
    """

    label: str
    classes: int
    texts: int
    held_out_texts: int
    majority: float
    layers: list[LayerScore]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def is_held_out(rows: np.ndarray) -> np.ndarray:
    """(N,) bool from the numbers of the rows: a fifth of them, the same whatever else the input holds."""
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    shares: np.ndarray = (mixed >> np.uint64(40)).astype(np.float64) / 2**24
    return shares < HELD_OUT


def probe_layers(features: WrittenFeatures, label: str, progress: ReportsProgress = silent) -> ProbeReport:
    """A probe on every result of an output.

    Args:
        features: embeddings with the labels next to them.
        label: what the column of the labels was called.
        progress: receives the number of layers.

    Raises:
        InputError: the labels are no classes, or too few.
    """
    names = features.column("label")
    rows = np.array(features.column("row"), np.int64)
    known = np.array([name is not None for name in names], bool)
    classes = sorted({name for name in names if name is not None})
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InputError(
            f"probe={label}: has {len(classes):,} different labels in {int(known.sum()):,} texts; a probe needs 2 to "
            f"{MOST_CLASSES:,} classes"
        )
    number = {name: place for place, name in enumerate(classes)}
    labels = np.array([number.get(name, -1) for name in names], np.int64)
    held_out = is_held_out(rows)
    training, judged = np.flatnonzero(known & ~held_out), np.flatnonzero(known & held_out)
    if not len(training) or not len(judged):
        raise InputError(f"probe={label}: only {int(known.sum())} texts have a label, too few to hold some out")
    commonest = np.bincount(labels[training]).argmax()
    scores = []
    with tempfile.TemporaryDirectory(dir=features.output.parent, prefix=".probe") as scratch:
        for done, name in enumerate(features.names):
            progress("linear probes", done, len(features.names))
            vectors = features.vectors(name, Path(scratch))
            probe = LinearProbe.fit(vectors, labels, training, len(classes))
            scores.append(
                LayerScore(
                    layer=name.removeprefix("layer_"),
                    held_out=probe.accuracy(vectors, labels, judged),
                    trained_on=probe.accuracy(vectors, labels, training),
                )
            )
            for copy in Path(scratch).iterdir():
                copy.unlink()
    progress("linear probes", len(features.names), len(features.names))
    return ProbeReport(
        label=label,
        classes=len(classes),
        texts=int(known.sum()),
        held_out_texts=len(judged),
        majority=float((labels[judged] == commonest).mean()),
        layers=scores,
    )


@dataclass(frozen=True)
class LinearProbe:
    """A multinomial logistic regression on standardised features.

    Attributes:
        mean, scale: (D,) of the training features.
        weight: (C, D).
        bias: (C,).
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, vectors: np.ndarray, labels: np.ndarray, rows: np.ndarray, classes: int) -> "LinearProbe":
        """The minimum of the mean cross-entropy plus the squared weights over twice the number of texts.

        The hidden states are read in blocks at each step of L-BFGS, so that memory does not grow with their number.

        Args:
            vectors: (N, D).
            labels: (N,) int64 below `classes`.
            rows: of those to learn from.
            classes: their number.
        """
        width = vectors.shape[1]
        total, squares = torch.zeros(2, width, dtype=torch.float64)
        for block in _blocks(vectors, rows):
            total += block.double().sum(0)
        mean = total / len(rows)
        for block in _blocks(vectors, rows):
            squares += (block.double() - mean).square().sum(0)
        scale = (squares / len(rows)).sqrt()
        scale[scale < 1e-12] = 1.0  # what never changes says nothing
        weight = torch.zeros(classes, width, requires_grad=True)
        bias = torch.zeros(classes, requires_grad=True)
        probe = cls(mean.float(), scale.float(), weight, bias)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            penalty = 0.5 * weight.square().sum() / len(rows)
            penalty.backward()
            sum_ = penalty.detach()
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                logits = probe.logits(torch.from_numpy(vectors[some].astype(np.float32)))
                part = F.cross_entropy(logits, torch.from_numpy(labels[some]), reduction="sum") / len(rows)
                part.backward()
                sum_ = sum_ + part.detach()
            return sum_

        optimizer.step(loss)
        return cls(probe.mean, probe.scale, weight.detach(), bias.detach())

    def logits(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, C)."""
        return F.linear((vectors - self.mean) / self.scale, self.weight, self.bias)

    def accuracy(self, vectors: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> float:
        """The share of right answers."""
        answers = [self.logits(block).argmax(1).numpy() for block in _blocks(vectors, rows)]
        return float((np.concatenate(answers) == labels[rows]).mean())


def _blocks(vectors: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield torch.from_numpy(vectors[rows[start : start + ROWS_AT_ONCE]].astype(np.float32))


def probe_page(report: ProbeReport) -> str:
    """The table, in Markdown."""
    rows = [[score.layer, f"{score.held_out:.3f}", f"{score.trained_on:.3f}"] for score in report.layers]
    rows.append(["commonest label", f"{report.majority:.3f}", ""])
    return (
        f"Linear probes for `{report.label}`: {report.texts:,} texts, {report.classes} classes; accuracy on "
        f"{report.held_out_texts:,} held-out texts\n\n" + table(["layer", "held out", "trained on"], rows)
    )


def probe_picture(report: ProbeReport) -> bytes:
    """A PNG: held-out accuracy by layer, with the commonest label as a dashed line."""
    figure = blank(6.0, 3.6)
    axes = figure.subplots()
    names = [score.layer for score in report.layers]
    places = range(len(names))
    axes.plot(places, [score.held_out for score in report.layers], color=INK, marker="o", linewidth=1.4)
    axes.axhline(report.majority, color=INK, linewidth=0.9, linestyle="--")
    axes.annotate(
        "commonest label", (0, report.majority), xytext=(0, 3), textcoords="offset points", fontsize=8, color=INK
    )
    for place, score in zip(places, report.layers, strict=True):
        axes.annotate(
            f"{score.held_out:.3f}",
            (place, score.held_out),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
    axes.set_xticks(places, names)
    axes.set(xlabel="layer (0: embeddings)", ylabel="accuracy, held-out texts")
    axes.margins(y=0.2)
    end_at(axes, 1.0)
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"What each layer knows of {report.label}", fontsize=11, parse_math=False, pad=16)
    return png(figure)
