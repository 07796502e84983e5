"""Overview of a task, printed before training: the rows of each split, and the rows with each label."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from cloze.data.tables.examples import ChoiceExample, Example, QuestionExample, TaggedExample, TextExample

MOST_LABELS = 20
LONGEST_NAME = 40  # characters
NO_LABEL = "(no label)"
FIGURES: dict[str, Callable[[list[float]], float]] = {"lowest": min, "mean": fmean, "highest": max}


def overview(splits: Mapping[str, Sequence[Example]], labels: Sequence[str]) -> list[str]:
    """A table with a column for each split: its rows, then the rows with each label, or what the scores are.

    Args:
        splits: the examples of each.
        labels: of the task, in the order of its outputs; those that are seldom in the first split go into one line
            where there are many.
    """
    counts = [Counter(label for example in examples for label in said(example)) for examples in splits.values()]
    scored = any(numbers(example) for examples in splits.values() for example in examples[:1])
    known = [*([] if scored else labels), *sorted({label for count in counts for label in count} - set(labels))]
    told = known if len(known) <= MOST_LABELS else sorted(known, key=lambda label: -counts[0][label])[: MOST_LABELS - 1]
    others = [label for label in known if label not in set(told)]
    rows = [["", *splits], ["rows", *(f"{len(examples):,}" for examples in splits.values())]]
    rows += _scores(splits)
    rows += [[_short(label), *(f"{count[label]:,}" for count in counts)] for label in told]
    if others:
        rest = (sum(count[label] for label in others) for count in counts)
        rows.append([f"{len(others):,} other labels", *(f"{number:,}" for number in rest)])
    return _aligned(rows)


def said(example: Example) -> Iterator[str]:
    """Each label of an example once; the number of the right choice, or whether a question has an answer."""
    match example:
        case TextExample(label=str(name)):
            yield name
        case TextExample(label=tuple(names)):
            yield from dict.fromkeys(names or (NO_LABEL,))
        case TaggedExample(tags=tuple(tags)):
            yield from dict.fromkeys(tags)
        case QuestionExample(answers=tuple(answers)):
            yield "with an answer" if answers else "without an answer"
        case ChoiceExample(label=int(number)):
            yield f"choice {number}"


def _scores(splits: Mapping[str, Sequence[Example]]) -> list[list[str]]:
    """Of each score, or of the probability of each class, the lowest, the mean and the highest."""
    found = [[numbers(example) for example in examples] for examples in splits.values()]
    rows = []
    for name in dict.fromkeys(name for split in found for of in split for name in of):
        scores = [[of[name] for of in split if name in of] for split in found]
        for head, figure in FIGURES.items():
            rows.append([f"{_short(name)} {head}".strip(), *(f"{figure(of):.4g}" if of else "" for of in scores)])
    return rows


def numbers(example: Example) -> Mapping[str, float]:
    """The scores of an example by name."""
    match example:
        case TextExample(label=float(score)):
            return {"": score}
        case TextExample(label=Mapping() as scores):
            return scores
    return {}


def _short(label: str) -> str:
    name = " ".join(label.split())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
