"""The GLUE table: tasks with their official metrics, the runs of a folder, and published results."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from cloze.files.layout import RESULTS
from cloze.report.markdown import plain, table
from cloze.report.results import read_results
from cloze.report.seeds import Spread, spread


class Task(NamedTuple):
    """A task of GLUE (Wang et al. 2018, table 1).

    Attributes:
        name: `task=glue/NAME`.
        title: in tables.
        metrics: what the leaderboard shows.
        scores: where `results.json` has them: split and metric.
        headline: which of them BERT's paper shows (Devlin et al. 2019, table 1).
    """

    name: str
    title: str
    metrics: str
    scores: tuple[tuple[str, str], ...]
    headline: tuple[int, ...] = (0,)


TASKS = (  # in the order of the leaderboard
    Task("cola", "CoLA", "Matthews", (("dev", "matthews"),)),
    Task("sst2", "SST-2", "accuracy", (("dev", "accuracy"),)),
    Task("mrpc", "MRPC", "F1/accuracy", (("dev", "f1"), ("dev", "accuracy"))),
    Task("stsb", "STS-B", "Pearson/Spearman", (("dev", "pearson"), ("dev", "spearman")), headline=(1,)),
    Task("qqp", "QQP", "F1/accuracy", (("dev", "f1"), ("dev", "accuracy"))),
    Task("mnli", "MNLI", "m/mm accuracy", (("dev_matched", "accuracy"), ("dev_mismatched", "accuracy")), (0, 1)),
    Task("qnli", "QNLI", "accuracy", (("dev", "accuracy"),)),
    Task("rte", "RTE", "accuracy", (("dev", "accuracy"),)),
    Task("wnli", "WNLI", "accuracy", (("dev", "accuracy"),)),
)
BY_NAME = {task.name: task for task in TASKS}
AVERAGED = frozenset(BY_NAME) - {"wnli"}
"""WNLI is left out: its dev set contradicts its training set (GLUE's FAQ, no. 12), and so does BERT's paper."""

DEV_AND_TEST = (
    "dev is not test: a test set's labels are known to GLUE's server only, and a dev set has chosen the checkpoint."
)

Scores = Mapping[str, Sequence[Spread | None]]
"""Of each task, a value for each of its scores, where there is one."""


class Row(NamedTuple):
    """A model in the table."""

    name: str
    split: str
    scores: Scores
    source: str = ""


def read_scores(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Of each task, of each seed: its scores, from `TASK/SEED/results.json` in the folder of `cloze-glue`."""
    found: dict[str, dict[str, list[float]]] = {}
    for task in TASKS:
        runs = sorted(file.parent for file in (folder / task.name).glob(f"*/{RESULTS}"))
        results = {run.name: read_results(run) for run in runs}
        if results:
            found[task.name] = {seed: [result[s][m] for s, m in task.scores] for seed, result in results.items()}
    return found


def own_row(name: str, scores: Mapping[str, Mapping[str, Sequence[float]]]) -> Row:
    """Mean and deviation over the seeds of every score."""
    values = {task: [spread(column) for column in zip(*seeds.values(), strict=True)] for task, seeds in scores.items()}
    return Row(name, "dev", values)


def official_mean(scores: Scores, tasks: Iterable[str]) -> float | None:
    """GLUE's macro average: the mean over tasks, a task with two scores being their mean. None where one is missing."""
    chosen = [scores.get(task, [None]) for task in tasks if task in AVERAGED]
    values = [[value.mean for value in task if value is not None] for task in chosen]
    complete = chosen and all(len(value) == len(task) for value, task in zip(values, chosen, strict=True))
    return fmean(map(fmean, values)) if complete else None


def paper_mean(scores: Scores, tasks: Iterable[str]) -> float | None:
    """The mean as in table 1 of BERT's paper: one score a task, both of MNLI's. None where one is missing."""
    values: list[Spread | None] = []
    for task in tasks:
        if task in AVERAGED:
            values += [scores[task][index] if task in scores else None for index in BY_NAME[task].headline]
    known = [value.mean for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def render_table(own: Row, peers: Sequence[Row]) -> str:
    """The Markdown page: the table, what its means are over, and the sources of the published rows."""
    tasks = [task for task in TASKS if task.name in own.scores]
    names = [task.name for task in tasks]
    head = ["model", "set", *(f"{task.title} {task.metrics}" for task in tasks), "mean", "mean as in BERT's paper"]
    rows = [
        [
            plain(row.name),
            row.split,
            *(_cell(row.scores.get(name)) for name in names),
            *(_percent(mean(row.scores, names)) for mean in (official_mean, paper_mean)),
        ]
        for row in (own, *peers)
    ]
    seeds = {value.n for values in own.scores.values() for value in values if value is not None}
    number = "one seed" if seeds == {1} else f"mean ± sample standard deviation over {_range(seeds)} seeds"
    sources: dict[str, list[str]] = {}
    for row in peers:
        sources.setdefault(row.source, []).append(row.name)
    notes = [
        f"Times 100. {plain(own.name)}: {number}.",
        mean_rule(names),
        "Mean as in BERT's paper: one score a task (F1 of MRPC and QQP, Spearman of STS-B), both of MNLI's.",
        DEV_AND_TEST,
        *(f"{', '.join(models)}: {source}." for source, models in sources.items()),
    ]
    return "\n".join([f"# GLUE: {plain(own.name)}", "", table(head, rows), "", *(f"- {note}" for note in notes), ""])


def mean_rule(names: Sequence[str]) -> str:
    """Says what the official mean is over."""
    missing = [task.title for task in TASKS if task.name in AVERAGED - set(names)]
    rule = "a task with two scores counts as their mean"
    if not missing:
        return f"Mean: GLUE's, over its eight tasks without WNLI; {rule}."
    there = [BY_NAME[name].title for name in names if name in AVERAGED]
    return f"Mean: NOT GLUE's score, only over {', '.join(there)}; {', '.join(missing)} are missing; {rule}."


def as_json(own: Row, scores: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The own row with the values of every seed."""
    names = list(own.scores)
    content = {
        "model": own.name,
        "split": "dev",
        "tasks": {
            name: {
                "scores": [f"{split} {metric}" for split, metric in BY_NAME[name].scores],
                "mean": [value.mean for value in own.scores[name] if value],
                "sd": [value.sd for value in own.scores[name] if value],
                "seeds": scores[name],
            }
            for name in names
        },
        "mean": official_mean(own.scores, names),
        "mean_is": mean_rule(names),
        "mean_as_in_paper": paper_mean(own.scores, names),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _cell(values: Sequence[Spread | None] | None) -> str:
    if values is None:
        return "-"
    return " / ".join("-" if value is None else value.percent(1) for value in values)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _range(numbers: Iterable[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
