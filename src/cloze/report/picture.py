"""A confusion matrix as a figure that is readable in black and white."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

PAPER, INK, LINES = "white", "#1a1a1a", "#c8c8c8"
LONGEST_NAME = 24  # characters
POINTS = 72  # of an inch
CHARACTER = 0.62  # width of a character, as a share of the font's size
NAMES_SIZE, LARGEST_COUNT_SIZE = 9.0, 13.0  # points


def confusion_picture(matrix: np.ndarray, labels: Sequence[str], title: str) -> bytes:
    """A PNG of (L, L) counts: rows are labels, columns predictions, shades shares of their row.

    Args:
        matrix: (L, L) int64.
        labels: L names; two to about thirty are legible.
        title: above the picture.
    """
    size = len(labels)
    names = [label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…" for label in labels]
    side = max(4.0, 0.42 * size)  # inches
    cell = POINTS * side / size
    figure = blank(side + 1.6, side + 1.2)
    axes = figure.subplots()
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)

    count_size = min(LARGEST_COUNT_SIZE, 0.85 * cell / (CHARACTER * len(str(matrix.max()))))
    for row, column in np.argwhere(matrix):
        colour = PAPER if shares[row, column] > 0.5 else INK
        words = axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=count_size)
        words.set_in_layout(False)  # measuring each of them costs more than drawing

    fits = max(map(len, names)) * CHARACTER * NAMES_SIZE < 0.95 * cell
    axes.set_xticks(range(size), names, rotation=0 if fits else 90, fontsize=NAMES_SIZE, parse_math=False)
    axes.set_yticks(range(size), names, fontsize=NAMES_SIZE, parse_math=False)
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=LINES, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(LINES)
    axes.set(xlabel="predicted", ylabel="label")
    axes.set_title(title, fontsize=11)
    return png(figure)


def blank(width: float, height: float) -> Any:
    """A matplotlib figure of this many inches, laid out by itself."""
    from matplotlib.figure import Figure  # late: slow to import
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def end_at(axes: Any, most: float) -> None:
    """Let the upright axis of scores end at the highest that there is; marks on it are drawn whole.

    Args:
        axes: of matplotlib, after all has been drawn on them.
        most: 1 for shares, 100 for percent.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, most))
    for line in axes.lines:
        line.set_clip_on(False)


def png(figure: Any) -> bytes:
    """A matplotlib figure as the bytes of a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # Agg wants no window

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # of scripts that the font lacks
        FigureCanvasAgg(figure).print_figure(stream, format="png", dpi=150)
    return stream.getvalue()
