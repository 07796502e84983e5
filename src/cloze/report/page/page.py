"""The report page: one HTML file that contains its scripts and styles."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.layout import BASELINE
from cloze.report.page.charts import chart_data
from cloze.report.page.corpus import Corpus, read_corpora
from cloze.report.page.differences import differences
from cloze.report.page.evaluation import Split, read_splits
from cloze.report.page.figures import key_figures, score_table, table_of_figures
from cloze.report.page.folders import is_run
from cloze.report.page.names import named, title_of
from cloze.report.page.phases import phases_in_words
from cloze.report.page.run import Run, mask_token, read_run
from cloze.report.page.samples import MaskPrediction, Sentence, read_samples
from cloze.runtime.distribution import VERSION

REPORT = "report.html"
COMPARISON = "comparison.html"
LARGEST = 1_900_000  # bytes; the page must be below 2 MB
MOST_RUNS = 40  # in the charts of a page
IN_DETAIL = 6  # runs of a page whose samples, classes and errors are shown, too
EVALUATIONS = 10  # of each masked sentence
ERRORS = 40  # of each split
SCALES = (1.0, 0.5, 0.2, 0.05)
"""Of points, evaluations and errors: the first with which the page is small enough."""


class Detail(NamedTuple):
    """What is shown of a run besides curves and figures."""

    run: Run
    samples: Sequence[Sentence]
    splits: Sequence[Split]


def write_page(folders: Sequence[Path], output: Path) -> int:
    """Write the page of one run, or of several over each other; returns its size in bytes.

    The page of a fine-tuning that was compared with random weights has both curves.

    Raises:
        InputError: a file of a run is broken, there are too many runs, or the page cannot be written.
    """
    if len(folders) > MOST_RUNS:
        raise InputError(f"{len(folders)} runs are too many for one page: give at most {MOST_RUNS}")
    page = render(folders).encode()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, page)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); choose another output=FILE") from error
    return len(page)


def render(folders: Sequence[Path]) -> str:
    """The page as text, with as much detail as `LARGEST` bytes allow."""
    runs = named([read_run(folder, folder.name) for folder in folders])
    shown = list(runs)
    if len(runs) == 1 and is_run(runs[0].folder / BASELINE):
        shown.append(read_run(runs[0].folder / BASELINE, "random weights"))
    corpora = [read_corpora(run) for run in shown]
    for scale in SCALES:
        text = _render(runs, shown, corpora, scale)
        if len(text.encode()) <= LARGEST:
            break
    return text


def _render(runs: Sequence[Run], shown: Sequence[Run], corpora: Sequence[Sequence[Corpus]], scale: float) -> str:
    errors = max(3, int(scale * ERRORS / len(runs)))
    evaluations = max(2, int(scale * EVALUATIONS))
    details = [
        Detail(
            run,
            read_samples(run.folder / "samples.txt", most=evaluations, mask=mask_token(run)),
            read_splits(run, most=errors),
        )
        for run in runs[:IN_DETAIL]
    ]
    styles, library, script = (_asset(name) for name in ("uPlot.min.css", "uPlot.iife.min.js", "page.js"))
    styles = f"{styles}\n{_asset('page.css')}"
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title_of(runs),
            runs=runs,
            shown=shown,
            kinds=list(dict.fromkeys(run.kind or "unknown" for run in runs)),
            details=details,
            last_samples=_last_samples(details),
            corpora=_once(runs, corpora),
            figures=key_figures(runs[0]) if len(runs) == 1 else [],
            table=table_of_figures(runs),
            scores=score_table(shown),
            differences=differences(runs) if len(runs) > 1 else [],
            configuration=_yaml(runs[0]) if len(runs) == 1 else "",
            phases=phases_in_words(shown),
            data=chart_data(shown, corpora, scale=scale),
            policy=_policy([styles], [library, script]),
            styles=styles,
            library=library,
            script=script,
            version=VERSION,
            today=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )
    )


def _last_samples(
    details: Sequence[Detail],
) -> dict[tuple[str, str], list[tuple[str, int, int, Sequence[MaskPrediction]]]]:
    """Of each sentence, with how a mask is written: a run's name and number, and its last predictions."""
    found: dict[tuple[str, str], list[tuple[str, int, int, Sequence[MaskPrediction]]]] = {}
    for number, detail in enumerate(details):
        for sentence in detail.samples:
            step, predictions = sentence.rows[-1]
            found.setdefault((sentence.text, sentence.mask), []).append((detail.run.name, number, step, predictions))
    return found


def _once(runs: Sequence[Run], corpora: Sequence[Sequence[Corpus]]) -> list[tuple[Corpus, list[str]]]:
    """Each corpus with the names of the runs that have read it."""
    found: list[tuple[Corpus, list[str]]] = []
    for run, own in zip(runs, corpora, strict=False):
        for corpus in own:
            known = next((names for other, names in found if other == corpus), None)
            if known is not None:
                known.append(run.name)
            else:
                found.append((corpus, [run.name]))
    return found


def _yaml(run: Run) -> str:
    return yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True) if run.config else ""


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """A Content-Security-Policy that lets run what is written here, by its hash, and nothing be fetched or sent."""
    hashes = {name: " ".join(map(_hash, texts)) for name, texts in (("style", styles), ("script", scripts))}
    own = f"style-src {hashes['style']}; script-src {hashes['script']}"
    return f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("cloze.report.page") / "assets" / name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> jinja2.Environment:
    """Everything that a template prints is escaped: texts of corpora are anybody's."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    environment.filters["thousands"] = _thousands
    return environment


def _thousands(value: Any) -> str:
    return f"{value:,}"
