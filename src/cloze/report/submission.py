"""The submission files for the GLUE server (gluebenchmark.com, FAQ): tab-separated `index` and `prediction`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import parse_json
from cloze.report.glue import BY_NAME

LOWEST, HIGHEST = 0.0, 5.0  # of STS-B's scores


class Submitted(NamedTuple):
    """A file of the submission: whose predictions on which split, and the words they may be."""

    file: str
    task: str
    split: str
    words: tuple[str, ...] | None


NUMBERS = ("0", "1")
ENTAILMENT = ("entailment", "not_entailment")
INFERENCE = ("contradiction", "entailment", "neutral")
TEST_SETS = (
    Submitted("CoLA.tsv", "cola", "test", NUMBERS),
    Submitted("SST-2.tsv", "sst2", "test", NUMBERS),
    Submitted("MRPC.tsv", "mrpc", "test", NUMBERS),
    Submitted("STS-B.tsv", "stsb", "test", None),
    Submitted("QQP.tsv", "qqp", "test", NUMBERS),
    Submitted("MNLI-m.tsv", "mnli", "test_matched", INFERENCE),
    Submitted("MNLI-mm.tsv", "mnli", "test_mismatched", INFERENCE),
    Submitted("QNLI.tsv", "qnli", "test", ENTAILMENT),
    Submitted("RTE.tsv", "rte", "test", ENTAILMENT),
    Submitted("WNLI.tsv", "wnli", "test", NUMBERS),
    Submitted("AX.tsv", "ax", "test", INFERENCE),
)


def write_submission(folder: Path, scores: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    """Write `submission/` from the test predictions of each task's best seed on dev.

    Args:
        folder: of `cloze-glue`, with the predictions in `TASK/SEED/predictions/`.
        scores: of each task, of each seed, the scores on dev.

    Returns:
        The files that are missing because there are no predictions; GLUE's server wants all of them.

    Raises:
        InputError: a prediction is not one of the words that the server knows.
    """
    missing = []
    for test in TEST_SETS:
        seed = _best_seed("mnli" if test.task == "ax" else test.task, scores)
        predictions = folder / test.task / seed / "predictions" / f"{test.split}.jsonl"
        if predictions.exists():
            (folder / "submission").mkdir(exist_ok=True)
            write_atomically(folder / "submission" / test.file, _lines(predictions, test).encode())
        else:
            missing.append(test.file)
    return missing


def _best_seed(task: str, scores: Mapping[str, Mapping[str, list[float]]]) -> str:
    headline = BY_NAME[task].headline[0]
    return max(scores.get(task, {}).items(), key=lambda pair: pair[1][headline], default=("", []))[0]


def _lines(predictions: Path, test: Submitted) -> str:
    with predictions.open(encoding="utf-8") as lines:
        records = [parse_json(line) for line in lines]
    rows = [f"{record['id']}\t{_word(record, test, predictions)}" for record in records]
    return "\n".join(["index\tprediction", *rows, ""])


def _word(record: Mapping[str, Any], test: Submitted, file: Path) -> str:
    prediction = record["prediction"]
    if test.words is None:
        return f"{min(HIGHEST, max(LOWEST, float(prediction))):.3f}"
    if prediction not in test.words:
        raise InputError(
            f"{file}: the prediction {prediction!r} of row {record['id']} is none of {', '.join(test.words)}, as "
            "GLUE's server wants them: train on the official files, or choose other tasks"
        )
    return str(prediction)
