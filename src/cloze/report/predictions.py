"""Predictions as files: JSON lines, CSV, and the worst errors as Markdown."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cloze.data.tables.delimited_output import flat
from cloze.data.tables.examples import Prediction
from cloze.files.atomic import write_atomically
from cloze.metrics.entities import entities
from cloze.report.markdown import plain, table

ERRORS = 100
NOT_FOR_THE_EYE = {
    *("correct", "probabilities", "label_probabilities"),
    *("entities", "offsets", "n_best", "start", "end"),
}


def write_predictions(predictions: Sequence[Prediction], file_stem: Path) -> None:
    """Write `STEM.jsonl`, one record a line, and `STEM.csv`, which has a column for each label, and lists as JSON."""
    lines = "".join(json.dumps(dict(record), ensure_ascii=False) + "\n" for record in predictions)
    write_atomically(_file(file_stem, ".jsonl"), lines.encode())
    rows = [flat(record) for record in predictions]
    columns = _columns(rows)
    write_csv(columns, _rows(rows, columns), _file(file_stem, ".csv"))


def write_errors(predictions: Sequence[Prediction], file_stem: Path, *, most: int = ERRORS) -> None:
    """Write the most confident errors: `STEM_errors.csv` in full, `STEM_errors.md` to read.

    Wrong records by descending probability; for scores the largest distances from the label.
    """
    errors = worst(predictions, most)
    flattened = [flat(record) for record in errors]
    columns = _columns(map(flat, predictions))
    write_csv(columns, _rows(flattened, columns), _file(file_stem, "_errors.csv"))
    rows = [readable(record) for record in errors]
    head = _columns(rows)
    title = f"# {file_stem.name}: the {len(errors)} most confident errors\n\n"
    body = table(head, ([row.get(key, "") for key in head] for row in rows)) if errors else "None."
    write_atomically(_file(file_stem, "_errors.md"), f"{title}{body}\n".encode())


def worst(predictions: Iterable[Prediction], most: int = ERRORS) -> list[Prediction]:
    """Wrong records, the surest first; records with an `error`, the largest first."""
    ranked = [(_badness(record), record) for record in predictions]
    errors = [pair for pair in ranked if pair[0] is not None]
    return [record for _, record in sorted(errors, key=lambda pair: pair[0] or 0.0, reverse=True)[:most]]


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], file: Path) -> None:
    """Write a CSV file that spreadsheets know as UTF-8 by its byte-order mark, and `pandas.read_csv` reads as it is."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in rows)
    write_atomically(file, text.getvalue().encode("utf-8-sig"))


def readable(record: Prediction) -> dict[str, str]:
    """A record as the Markdown cells of one row: words and choices resolved, long texts truncated."""
    return {key: plain(text) for key, text in legible(record).items()}


def legible(record: Prediction) -> dict[str, str]:
    """What a person reads of a record, as plain texts: words and choices resolved."""
    shown = {key: value for key, value in record.items() if key not in NOT_FOR_THE_EYE}
    if "words" in record:
        shown |= _differing_tags(record)
        if "text" in record:
            del shown["words"]
    for key in ("missed", "extra"):
        if isinstance(record.get(key), list) and "probabilities" in record:
            shown[key] = {name: record["probabilities"][name] for name in record[key]}
    if "choices" in record:
        del shown["choices"]
        shown |= {key: _choice(record["choices"], shown[key]) for key in ("prediction", "label") if key in shown}
    return {key: _text(value) for key, value in shown.items()}


def _columns(records: Iterable[Prediction]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _rows(records: Iterable[Prediction], columns: Sequence[str]) -> Iterable[list[object]]:
    return ([record.get(column) for column in columns] for record in records)


def _badness(record: Prediction) -> float | None:
    """How much an error deserves to be looked at; None for a record that is right or has no label."""
    if "error" in record:
        return float(record["error"])
    if record.get("correct") is not False:
        return None
    if "missed" in record:  # of several labels: how sure the model was of the one that is most wrong
        probabilities = record["probabilities"]
        missed = (1 - probabilities[name] for name in record["missed"])
        return float(max([*missed, *(probabilities[name] for name in record["extra"])]))
    return float(record.get("probability", 0.0))


def _differing_tags(record: Prediction) -> dict[str, str]:
    """The sentence, and of its entities or tags only those where prediction and label differ."""
    words = record["words"]

    def between(start: int, end: int) -> str:
        if "text" not in record:
            return " ".join(words[start:end])
        text: str = record["text"]
        return text[record["offsets"][start][0] : record["offsets"][end - 1][1]]

    found = {"words": " ".join(words)}
    if "label" not in record:
        return found
    for key, other in (("prediction", "label"), ("label", "prediction")):
        if "entities" in record:
            those = set(entities(record[other]))
            parts = [f"{between(e.start, e.end)}/{e.type}" for e in entities(record[key]) if e not in those]
        else:
            pairs = zip(words, record[key], record[other], strict=True)
            parts = [f"{word}/{tag}" for word, tag, that in pairs if tag != that]
        found[key] = ", ".join(parts)
    return found


def _choice(choices: Sequence[str], number: int) -> str:
    return f"{number}: {choices[number]}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(part)}" for key, part in value.items())
    return _cell(value)


def _cell(value: object) -> str:
    """Nothing for None, text as it is, everything else as in JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
