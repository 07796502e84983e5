"""`samples.txt` as tables: the predictions for each masked sentence at each evaluation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cloze.text.tokenizer import MASK

STEP = re.compile(r"step (\d+)")
PREDICTION = re.compile(r"(\S+) ([01]\.\d\d)(?:, |$)")  # a token may be a comma


class MaskPrediction(NamedTuple):
    """A token and its probability."""

    token: str
    probability: float

    @property
    def tenth(self) -> int:
        """0 to 10, for the shade."""
        return min(10, round(10 * self.probability))


class Sentence(NamedTuple):
    """The predictions for one mask over training.

    Attributes:
        text: with masks, and in brackets behind it the word that stood there, if it is known.
        mask: how a mask is written.
        rows: an evaluation each: the step, and the likeliest tokens.
        left_out: evaluations that are not among them.
    """

    text: str
    mask: str
    rows: Sequence[tuple[int, Sequence[MaskPrediction]]]
    left_out: int


def read_samples(file: Path, *, most: int, mask: str = MASK) -> list[Sentence]:
    """The sentences in their order; lines of another form are skipped.

    Args:
        file: that `SamplePredictions` writes. A resumed run repeats a step: its last evaluation counts.
        most: evaluations shown of each sentence, evenly chosen, the first and the last among them.
        mask: how a mask is written in it.
    """
    if not file.is_file():
        return []
    found: dict[tuple[str, int], dict[int, list[MaskPrediction]]] = {}
    step, seen = 0, dict[str, int]()
    for line in file.read_text(encoding="utf-8", errors="replace").split(
        "\n"
    ):  # splitlines() would split at rarer characters, too
        if match := STEP.fullmatch(line.strip()):
            step, seen = int(match[1]), {}
            continue
        text, blanks, tokens = line.strip().rpartition("  ")
        predictions = [MaskPrediction(token, float(share)) for token, share in PREDICTION.findall(tokens)]
        if predictions and blanks:
            seen[text] = seen.get(text, 0) + 1  # a sentence with two masks has two lines
            found.setdefault((text, seen[text]), {})[step] = predictions
    return [_sentence(text, mask, steps, most) for (text, _), steps in found.items()]


def _sentence(text: str, mask: str, steps: dict[int, list[MaskPrediction]], most: int) -> Sentence:
    rows = sorted(steps.items())
    if len(rows) <= most:
        return Sentence(text, mask, rows, 0)
    chosen = sorted({round(number * (len(rows) - 1) / (most - 1)) for number in range(most)})
    return Sentence(text, mask, [rows[index] for index in chosen], len(rows) - len(chosen))
