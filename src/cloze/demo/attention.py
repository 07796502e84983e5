"""The attention tab: a heat map of any layer and head, and the weights of one token."""

import json
from typing import Any

import numpy as np
from nicegui import ui

from cloze.demo.parts import IncompleteError, Live, field, heading, notes
from cloze.demo.reader import Attention, Reader

TEXT = "The cat sat on the mat because it was tired."
MEAN = -1
"""In place of the number of a head."""

GREY = "#8593a3"
"""Of the axes: readable on light and on dark."""

TOOLTIP = """(point) => {
  const tokens = %s;
  const [column, row, weight] = point.data;
  return tokens[row] + '  \u2192  ' + tokens[column] + '\\n' + (100 * weight).toFixed(1) + ' %%';
}"""


class AttentionTab:
    """What is drawn of the text that was read last.

    Args:
        reader: the model.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.found: Attention | None = None
        self.piece = 0
        ui.label("Which tokens of a text look at which, in any layer and head of the model.").classes("lead")
        own = [row["text"] for row in reader.examples.cells] or [text for text, _ in reader.examples.pairs]
        self.text = field("Text", own[0] if own else TEXT, lambda: self.live.refresh())
        self.pair = field("Second text (may stay empty)", "", lambda: self.live.refresh(), rows=1)
        layers = {n: f"Layer {n + 1}" for n in range(reader.config.num_hidden_layers)}
        heads = {MEAN: "All heads, mean"} | {n: f"Head {n + 1}" for n in range(reader.config.num_attention_heads)}
        with ui.row().classes("picks"):
            self.layer = ui.select(layers, value=0, label="Layer", on_change=self.draw).props("outlined dense")
            self.head = ui.select(heads, value=0, label="Head", on_change=self.draw).props("outlined dense")
        self.live = Live(self._read, lambda texts: reader.attention(*texts), self._arrived)

    def _read(self) -> tuple[str, str | None]:
        if not (self.text.value or "").strip():
            raise IncompleteError("Write a text.")
        return self.text.value or "", self.pair.value if (self.pair.value or "").strip() else None

    def _arrived(self, found: Attention) -> None:
        self.found = found
        self.piece = min(self.piece, len(found.pieces) - 1)
        notes((*self.reader.unknown(self.text.value or "", self.pair.value or ""), *found.notes))
        heading("Rows look at columns: the stronger the colour, the more")
        self.chart = ui.echart(_options(found.pieces, self._weights())).classes("picture")
        heading("What the chosen token looks at; choose another one")
        self.strip = ui.element("div").classes("pieces")
        self._draw_strip()

    def _weights(self) -> np.ndarray:
        """(T, T) of the layer and the head that are chosen."""
        assert self.found is not None
        maps = self.found.maps[int(self.layer.value or 0)]
        head = int(self.head.value if self.head.value is not None else MEAN)
        weights: np.ndarray = maps.mean(axis=0) if head == MEAN else maps[head]
        return weights

    def draw(self) -> None:
        """Draw another layer or head of the same text."""
        if self.found is None or self.chart.is_deleted:  # nothing to draw yet, or a hint in its place
            return
        options = _options(self.found.pieces, self._weights())
        self.chart.options["series"] = options["series"]
        self.chart.options["visualMap"] = options["visualMap"]
        self.chart.update()
        self._draw_strip()

    def _draw_strip(self) -> None:
        assert self.found is not None
        row = self._weights()[self.piece]
        strongest = max(float(row.max()), 1e-9)
        self.strip.clear()
        with self.strip:
            for number, (piece, weight) in enumerate(zip(self.found.pieces, row.tolist(), strict=True)):
                button = ui.element("button").classes("piece chosen" if number == self.piece else "piece")
                button.style(f"--weight: {weight / strongest:.3f}").props(f"title='{100 * weight:.1f} %'")
                button.on("click", lambda number=number: self._choose(number))
                with button:
                    ui.label(piece)

    def _choose(self, number: int) -> None:
        self.piece = number
        self._draw_strip()


def _options(pieces: list[str], weights: np.ndarray) -> dict[str, Any]:
    """The picture for ECharts; its words are drawn on a canvas, where nothing is HTML."""
    axis = {
        "type": "category",
        "data": pieces,
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": GREY}},
        "axisLabel": {"color": GREY, "fontSize": 11, "width": 74, "overflow": "truncate"},
    }
    rows, columns = np.indices(weights.shape)
    cells = np.stack([columns.ravel(), rows.ravel(), weights.round(4).ravel()], axis=1).tolist()
    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 8, "bottom": 8, "containLabel": True},
        "tooltip": {"renderMode": "richText", ":formatter": TOOLTIP % json.dumps(pieces), "confine": True},
        "xAxis": {**axis, "position": "top", "axisLabel": {**axis["axisLabel"], "rotate": 60}},  # type: ignore[dict-item]
        "yAxis": {**axis, "inverse": True},
        "visualMap": {
            "show": False,
            "min": 0,
            "max": max(float(weights.max()), 1e-9),
            "inRange": {"color": ["rgba(47,129,247,0.03)", "rgba(47,129,247,1)"]},
        },
        "series": [{"type": "heatmap", "data": cells, "progressive": 0, "itemStyle": {"borderRadius": 1}}],
    }
