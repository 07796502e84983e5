"""Group curves into charts, and encode their points as JSON for the script of the page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cloze.report.page.corpus import Corpus
from cloze.report.page.figures import OF_ONE_TYPE, title
from cloze.report.page.metrics import Curve, thin
from cloze.report.page.phases import lines
from cloze.report.page.run import Run

POINTS_OF_A_CURVE = 1000
POINTS_OF_A_PAGE = 30_000  # about 20 bytes each
FEWEST_POINTS = 24
LOGARITHMIC = ("perplexity",)
OF_EACH_TYPE = "f1_of_each_type"
SHARES = re.compile(r"masked_lm_accuracy|next_sentence_accuracy|mfu|share")
"""In percent; the scores of tasks stay fractions, as in `results.json`."""
AT_MOST_ONE = re.compile(
    r"(?:^|_)(?:accuracy|f1|precision|recall|match|matthews|pearson|spearman|auroc|average_precision|mfu|share)(?:_|$)"
)
"""Whose axis ends at 1, or at 100 %."""
SECTIONS = {"learning": "Learning", "optim": "Optimizer", "speed": "Speed", "data": "Data"}
SPLITS = re.compile(r"(train|val|test)(?:_(\w+))?")
NAMES = {
    "optim/lr": "Learning rate",
    "optim/gradient_norm": "Gradient norm",
    "speed/tokens_per_second": "Tokens a second",
    "speed/sequences_per_second": "Sequences a second",
    "speed/data_wait_share": "Share of time waiting for data",
    "speed/mfu": "MFU: share of the hardware's peak",
    "speed/memory_gib": "Memory (GiB)",
    "speed/cuda_memory_gib": "GPU memory, peak (GiB)",
    "speed/cuda_reserved_gib": "GPU memory, reserved (GiB)",
    "speed/seconds_left": "Seconds left",
}
ORDER = ("loss", "masked_lm_loss", "masked_lm_accuracy", "masked_lm_perplexity", "next_sentence_loss")
"""Of the charts about learning; the others follow as they were logged."""


def chart_data(runs: Sequence[Run], corpora: Sequence[Sequence[Corpus]], *, scale: float = 1.0) -> dict[str, Any]:
    """For the script: the runs with their other axes, and the charts with their series.

    Args:
        runs: drawn over each other.
        corpora: of each run, for the loss of knowing only frequencies.
        scale: of the number of points, to make a page smaller.
    """
    curves = [(index, name, curve) for index, run in enumerate(runs) for name, curve in run.metrics.curves.items()]
    share = int(scale * POINTS_OF_A_PAGE) // max(1, len(curves))
    most = max(FEWEST_POINTS, min(int(scale * POINTS_OF_A_CURVE), share))
    charts: dict[str, dict[str, Any]] = {}
    for index, name, curve in curves:
        section, key, split, label = _place(name)
        chart = charts.setdefault(
            f"{section}/{key}",
            {
                "section": SECTIONS.get(section, _capital(section.replace("_", " "))),
                "key": key,
                "title": NAMES.get(name) or _capital("F1 of each type" if key == OF_EACH_TYPE else title(key)),
                "share": bool(SHARES.search(key)),
                "bounded": bool(AT_MOST_ONE.search(key)),
                "log": key.endswith(LOGARITHMIC),
                "series": [],
            },
        )
        chart["series"].append({"run": index, "split": split, "label": label, **_points(thin(curve, most))})
    types = charts.get(f"learning/{OF_EACH_TYPE}", {"series": []})
    if len({series["label"] for series in types["series"]}) == 1:  # it is the score itself
        del charts[f"learning/{OF_EACH_TYPE}"]
    if "learning/masked_lm_loss" in charts:
        charts["learning/masked_lm_loss"]["lines"] = _frequencies_only(corpora)
    return {
        "runs": [
            {
                "name": run.name,
                "tokens": _axis(run.metrics.tokens),
                "seconds": _axis(run.metrics.seconds),
                "phases": lines(run),
            }
            for run in runs
        ],
        "charts": sorted(charts.values(), key=_rank),
        "most": most,
    }


def _place(name: str) -> tuple[str, str, str, str]:
    """Of a metric: the section, the chart in it, the split and what else tells it from the curves next to it.

    One chart shows a measure on all splits; with the accuracy of pairs goes that of the majority class, and the
    scores of single types of entities share one chart, as do all metrics of a name with two slashes.
    """
    head, _, rest = name.partition("/")
    match = SPLITS.fullmatch(head)
    if match is None or not rest:
        group, slash, member = rest.partition("/")
        return (
            (head, group, "", member.replace("_", " ")) if slash else (head if rest else "other", rest or head, "", "")
        )
    split, which = match[1], match[2] or ""
    if rest.endswith("_majority"):
        return "learning", rest.replace("_majority", "_accuracy"), split, f"{which} majority class".strip()
    if rest.startswith(OF_ONE_TYPE):
        return "learning", OF_EACH_TYPE, split, f"{which} {rest.removeprefix('f1_')}".strip()
    return "learning", rest, split, which


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rank(chart: Mapping[str, Any]) -> tuple[int, int]:
    sections = list(SECTIONS.values())
    section = sections.index(chart["section"]) if chart["section"] in sections else len(sections)
    return section, ORDER.index(chart["key"]) if chart["key"] in ORDER else len(ORDER)


def _points(curve: Curve) -> dict[str, Any]:
    points = {"x": curve.steps.tolist(), "y": [float(f"{value:.6g}") for value in curve.values]}
    return {**points, "lost": curve.not_finite} if curve.not_finite else points


def _axis(curve: Curve | None) -> list[list[float]] | None:
    """(steps, values) between which the script interpolates."""
    if curve is None:
        return None
    few = thin(curve, 400)
    return [few.steps.tolist(), [float(f"{value:.7g}") for value in few.values]]


def _frequencies_only(corpora: Sequence[Sequence[Corpus]]) -> list[dict[str, Any]]:
    found = [corpus.unigram_entropy for own in corpora for corpus in own]
    values = {value for value in found if value is not None}
    return [{"label": "knowing only frequencies", "y": round(value, 4)} for value in values] if len(values) == 1 else []
