"""The GLUE table as a figure that is readable in black and white."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cloze.report.glue import TASKS, Row, Task
from cloze.report.picture import INK, LINES, blank, end_at, png
from cloze.report.seeds import Spread

METRICS = {"accuracy": "accuracy", "f1": "F1", "matthews": "Matthews", "pearson": "Pearson", "spearman": "Spearman"}
LEFT, RIGHT = -0.36, 0.16  # of a task's column, which is 1 wide; the number stands right of the own mark


class Look(NamedTuple):
    """How a row is drawn; grey and by shape, so that it prints."""

    marker: str
    colour: str
    size: float


OWN = Look("o", "#0b5394", 8.0)
PEERS = (
    Look("v", "#b0b0b0", 6.0),
    Look("^", "#969696", 6.0),
    Look("s", "#7d7d7d", 5.5),
    Look("D", "#646464", 5.5),
    Look("P", "#303030", 6.5),
    Look("X", "#8a4b14", 6.5),
)


def glue_picture(own: Row, peers: Sequence[Row]) -> bytes:
    """A PNG: of each task the score that BERT's paper shows, times 100; of MNLI the matched one.

    Test figures are hollow, dev figures full; bars are one standard deviation over the seeds.
    """
    tasks = [task for task in TASKS if task.name in own.scores]
    peers = [row for row in peers if any(task.name in row.scores for task in tasks)]
    figure = blank(max(5.5, 1.2 * len(tasks) + 2.6), 4.4)
    axes = figure.subplots()
    _draw(axes, own, tasks, RIGHT, OWN)
    for task_number, task in enumerate(tasks):
        if (value := _shown(own, task)) is not None:
            place = (task_number + RIGHT, 100 * value.mean)
            axes.annotate(f"{place[1]:.1f}", place, (8, -3), textcoords="offset points", fontsize=8, color=OWN.colour)
    for number, row in enumerate(peers):
        offset = LEFT + (RIGHT - LEFT) * number / len(peers)
        _draw(axes, row, tasks, offset, PEERS[number % len(PEERS)])

    names = [f"{task.title}\n{METRICS[task.scores[task.headline[0]][1]]}".replace("MNLI", "MNLI-m") for task in tasks]
    axes.set_xticks(range(len(tasks)), names, fontsize=9)
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.tick_params(axis="x", length=0)
    for border in range(1, len(tasks)):
        axes.axvline(border - 0.5, color=LINES, linewidth=0.6)
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    end_at(axes, 100.0)
    axes.set_ylabel("score, times 100")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.set_title(f"GLUE: {own.name}, and published figures", fontsize=11, loc="left", parse_math=False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(figure)


def _shown(row: Row, task: Task) -> Spread | None:
    values = row.scores.get(task.name)
    return None if values is None else values[task.headline[0]]


def _draw(axes: Any, row: Row, tasks: Sequence[Task], offset: float, look: Look) -> None:
    points = [(n + offset, value) for n, task in enumerate(tasks) if (value := _shown(row, task)) is not None]
    axes.errorbar(
        [place for place, _ in points],
        [100 * value.mean for _, value in points],
        yerr=[100 * (value.sd or 0.0) for _, value in points] if look is OWN else None,
        fmt=look.marker,
        color=look.colour,
        markerfacecolor=look.colour if row.split == "dev" else "white",
        markersize=look.size,
        capsize=3,
        label=f"{row.name} ({row.split})",
    )
