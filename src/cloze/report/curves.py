"""The curves of runs as a matplotlib figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.report.page.charts import SECTIONS, chart_data
from cloze.report.page.folders import find_runs
from cloze.report.page.names import named
from cloze.report.page.run import read_run
from cloze.report.picture import LINES, blank

COLUMNS = 3
STYLES = {"train": "-", "val": "--", "test": ":"}
"""Of the lines, by split; the colour is the run's."""


def curves_figure(folders: Sequence[Path], *, section: str = "learning") -> Any:
    """A matplotlib figure of what runs have logged over their optimizer steps, drawn over each other.

    Args:
        folders: of runs or sweeps.
        section: a key of ``cloze.report.page.charts.SECTIONS``.

    Raises:
        InputError: there is no run, or nothing of that section was logged.
    """
    found = find_runs(folders)
    runs = named([read_run(folder, folder.name) for folder in found])
    if section not in SECTIONS:
        raise InputError(f"section is {section!r}, but must be one of {', '.join(SECTIONS)}")
    charts = [chart for chart in chart_data(runs, [])["charts"] if chart["section"] == SECTIONS[section]]
    if not charts:
        raise InputError(f"{', '.join(map(str, found))}: nothing is logged yet of {section}")
    lines = -(-len(charts) // COLUMNS)
    figure = blank(4.2 * min(COLUMNS, len(charts)), 3.0 * lines)
    for axes, chart in zip(figure.subplots(lines, min(COLUMNS, len(charts)), squeeze=False).flat, charts, strict=False):
        for series in chart["series"]:
            names = [runs[series["run"]].name] * (len(runs) > 1) + [series["split"], series["label"]]
            style = STYLES.get(series["split"], "-")
            label = " ".join(filter(None, names))
            axes.plot(series["x"], series["y"], style, color=f"C{series['run']}", linewidth=1.2, label=label)
        axes.set_title(chart["title"], fontsize=10, parse_math=False)
        axes.set_yscale("log" if chart["log"] else "linear")
        axes.grid(color=LINES, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    for axes in figure.axes[len(charts) :]:
        axes.remove()
    return figure
