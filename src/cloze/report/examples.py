"""A few examples of a run's data, for the demo of its model."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloze.data.tables.examples import Example
from cloze.files.atomic import write_atomically
from cloze.files.bounded import parse_yaml, read_json, read_text
from cloze.files.layout import CONFIG, MODEL
from cloze.report.page.corpus import REPORT
from cloze.report.page.run import beside, section
from cloze.report.page.samples import read_samples

EXAMPLES = "predictions/examples.json"
MOST = 8
LONGEST = 4000  # characters of an example
ANSWER = re.compile(r" \([^()]*\)$")
"""The word that was masked in a held-out sentence."""


class RunExamples(NamedTuple):
    """What there is of them, none of a folder that no run has left.

    Attributes:
        name: of the run, else of the folder.
        cells: of the task's dev split, as rows of an input would have them.
        masked: sentences with `[MASK]`.
        pairs: sentences that follow each other.
    """

    name: str
    cells: Sequence[dict[str, Any]] = ()
    masked: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()


def write_examples(examples: Sequence[Example], folder: Path) -> None:
    """Write some of a split, spread over it, into the folder of a run."""
    cells = [row for example in examples if (row := _cells(example)) and len(json.dumps(row)) <= LONGEST]
    step = max(1, len(cells) // MOST)
    text = json.dumps(cells[::step][:MOST], ensure_ascii=False, indent=1)
    (folder / EXAMPLES).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / EXAMPLES, f"{text}\n".encode())


def _cells(example: Example) -> dict[str, Any]:
    """The inputs of an example; words that were given as words are put together with blanks."""
    found = {name: getattr(example, name, None) for name in ("text", "text_pair", "choices")}
    found["text"] = found["text"] or getattr(example, "question", None) or " ".join(getattr(example, "words", ()))
    found["text_pair"] = found["text_pair"] or getattr(example, "context", None)
    return {name: list(value) if name == "choices" else value for name, value in found.items() if value}


def read_examples(model: Path) -> RunExamples:
    """Of the run that has left a model folder. A file that is missing or of another making has none."""
    run = model.resolve().parent
    if model.resolve().name != MODEL or not (run / CONFIG).is_file():
        return RunExamples(model.resolve().name)
    rows = _read(run / EXAMPLES)
    cells = [row for row in rows if _is_cells(row)] if isinstance(rows, list) else []
    masked = [ANSWER.sub("", sentence.text) for sentence in read_samples(run / "samples.txt", most=2)]
    return RunExamples(run.name, cells, list(dict.fromkeys(masked))[:MOST], _pairs(run))


def _is_cells(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return False
    choices = row.get("choices", [])
    return isinstance(row.get("text_pair", ""), str) and isinstance(choices, list)


def _pairs(run: Path) -> list[tuple[str, str]]:
    """Held-out sentences, where the prepared corpus is at hand."""
    try:
        config = parse_yaml(read_text(run / CONFIG))
    except (OSError, ValueError):
        return []
    named = section(config, "data").get("folder") if isinstance(config, dict) else None
    corpus = beside(run, config, named) if isinstance(named, str) else None
    report = _read(corpus / REPORT) if corpus is not None else None
    documents = report.get("heldout_excerpts", []) if isinstance(report, dict) else []
    pairs = [pair for texts in documents for pair in zip(texts[::2], texts[1::2], strict=False) if all(pair)]
    return pairs[:: max(1, len(pairs) // MOST)][:MOST]


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError):
        return None
