"""Key figures: tiles for one run, a table for several."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from cloze.files.layout import MODEL
from cloze.report.page.run import TASK, Run, begun_tokens, count_parameters
from cloze.runtime.wording import duration

OF_ONE_TYPE = "f1_"
STEPS, TOKENS, PARAMETERS, STATE = "steps", "tokens seen", "parameters", "state"
LENGTH = (STEPS, TOKENS, PARAMETERS)
WORDS = {
    "lm": "LM",
    "f1": "F1",
    "lr": "learning rate",
    "mfu": "MFU",
    "auroc": "AUROC",
    "cuda": "CUDA",
    "gpu": "GPU",
    "cpu": "CPU",
}
UNITS = {"gib": "GiB", "mib": "MiB", "ms": "ms", "percent": "%"}
"""Of metrics' names, the last word."""


class Figure(NamedTuple):
    """A name, a value, and what else belongs to it."""

    name: str
    value: str
    note: str = ""


def key_figures(run: Run) -> list[Figure]:
    """What there is of them: scores, losses, accuracies, length, size, speed."""
    found = [*_scores(run)] if run.kind == TASK else [*_heldout(run)]
    if run.metrics.last_step:
        note = "" if run.finished else "training has not ended"
        found.append(Figure(STEPS, f"{run.metrics.last_step:,}", note))
    if counts := begun_tokens(run):
        means = {"mean_of_their_old_tokens": "begin at the mean of their old tokens", "mean_of_all": "at that of all"}
        note = ", ".join(f"{counts[name]:,} {what}" for name, what in means.items() if counts.get(name))
        found.append(Figure("tokens whose embeddings were kept", f"{counts['kept']:,}", note))
    if run.metrics.tokens is not None:
        found.append(Figure(TOKENS, short(run.metrics.tokens.values[-1])))
    if run.metrics.seconds is not None:
        found.append(Figure("time of training", duration(run.metrics.seconds.values[-1])))
    if (parameters := count_parameters(run.folder / MODEL)) is not None:
        found.append(Figure(PARAMETERS, short(parameters)))
    if (speed := _median(run, "speed/tokens_per_second")) is not None:
        found.append(Figure("tokens a second", short(speed), "median"))
    if (mfu := _median(run, "speed/mfu")) is not None:
        found.append(Figure("MFU", f"{mfu:.0%}", "of the peak, median"))
    if (wait := _median(run, "speed/data_wait_share")) is not None:
        found.append(Figure("waiting for data", f"{wait:.1%}", "median"))
    return found


def _scores(run: Run) -> list[Figure]:
    """The first score of each split; while there are no results, the last one on dev."""
    found = []
    for split, metrics in run.results.items():
        for name, value in list(metrics.items())[:1]:
            found.append(Figure(f"{split} {title(name)}", f"{value:.4f}"))
    if not found:
        for name, curve in run.metrics.curves.items():
            if name.startswith("val") and "loss" not in name and len(curve.values):
                note = f"step {curve.steps[-1]:,}; best {curve.values.max():.4f}"
                return [Figure(f"dev {title(name.partition('/')[2])}", f"{curve.values[-1]:.4f}", note)]
    return found


def _heldout(run: Run) -> list[Figure]:
    found = []
    curves = run.metrics.curves
    loss = curves.get("val/masked_lm_loss")
    if loss is not None and len(loss.values):
        best = f"best {loss.values.min():.3f} at step {loss.steps[loss.values.argmin()]:,}"
        found.append(Figure("masked-token loss, held out", f"{loss.values[-1]:.3f}", best))
        if (average := curves.get("val_average/masked_lm_loss")) is not None and len(average.values):
            found.append(
                Figure("the same, of the average", f"{average.values[-1]:.3f}", "of the weights of many steps")
            )
        found.append(Figure("perplexity", f"{math.exp(min(700.0, loss.values[-1])):,.1f}", "held out"))
    elif (train := curves.get("train/masked_lm_loss")) is not None and len(train.values):
        found.append(Figure("masked-token loss, training", f"{train.values[-1]:.3f}", "no evaluation yet"))
    else:  # of a module of the user's own
        own = ((name.partition("/")[2], curve) for name, curve in curves.items() if name.startswith("val/"))
        found += [
            Figure(f"{title(name)}, held out", f"{curve.values[-1]:.3f}") for name, curve in own if len(curve.values)
        ]
    for name, what in (("masked_lm", "masked tokens right"), ("next_sentence", "sentence pairs right")):
        accuracy, majority = (curves.get(f"val/{name}_{part}") for part in ("accuracy", "majority"))
        if accuracy is not None and len(accuracy.values):
            note = f"majority class: {majority.values[-1]:.1%}" if majority is not None else "held out"
            found.append(Figure(what, f"{accuracy.values[-1]:.1%}", note))
    return found


class FigureTable(NamedTuple):
    """Names of figures, of each run their values, empty where it lacks one; and what is the same in all runs."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    same: Sequence[tuple[str, str]]


def table_of_figures(runs: Sequence[Run]) -> FigureTable:
    """The figures of several runs. What is the same in all of them, apart from scores and losses, is shown once."""
    figures = [
        {figure.name: figure.value for figure in key_figures(run)}
        | {STATE: "finished" if run.finished else "not finished"}
        for run in runs
    ]
    every = dict.fromkeys(name for found in figures for name in found)
    names = sorted(every, key=lambda name: min(list(found).index(name) for found in figures if name in found))
    same = [name for name in names if name in (*LENGTH, STATE) and len({found.get(name) for found in figures}) == 1]
    columns = [name for name in names if name not in same]
    rows = [[found.get(name, "") for name in columns] for found in figures]
    return FigureTable(columns, rows, [(name, figures[0][name]) for name in same])


class ScoreTable(NamedTuple):
    """Split and metric as rows, a column a run; the best of a row is marked where several runs had the same task."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[tuple[str, bool]]]]


def score_table(runs: Sequence[Run]) -> ScoreTable:
    """All scores of all splits, of the runs that have any."""
    scored = [run for run in runs if run.results]
    keys = list(
        dict.fromkeys((split, name) for run in scored for split, found in run.results.items() for name in found)
    )
    one_task = len({run.task.get("name") for run in scored}) == 1
    rows = []
    for split, name in keys:
        values = [run.results.get(split, {}).get(name) for run in scored]
        known = [value for value in values if value is not None]
        best = max(known) if one_task and len(known) > 1 else None
        cells = [("" if value is None else f"{value:.4f}", value is not None and value == best) for value in values]
        rows.append((split, title(name), cells))
    return ScoreTable([run.name for run in scored], rows)


def title(metric: str) -> str:
    """A metric's name as it is read: `masked_lm_loss` is masked LM loss, `memory_gib` memory (GiB)."""
    if metric.startswith(OF_ONE_TYPE):
        return f"F1 of {metric.removeprefix(OF_ONE_TYPE)}"
    *words, last = metric.split("_")
    unit = f"({UNITS[last]})" if words and last in UNITS else WORDS.get(last, last)
    return " ".join([*(WORDS.get(word, word) for word in words), unit])


def short(number: float) -> str:
    """`12,345` and below as it is, larger numbers with three digits: 1.72 M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e5, "k")):
        if number >= size:
            scale = 1e3 if unit == "k" else size
            return f"{number / scale:.3g} {unit}"
    return f"{number:,.0f}"


def _median(run: Run, name: str) -> float | None:
    curve = run.metrics.curves.get(name)
    return statistics.median(curve.values.tolist()) if curve is not None and len(curve.values) else None
