"""What a task is about, told before it begins: the rows of each split, and how many of them have each label."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from cloze.data.downstream.examples import ChoiceExample, Example, QuestionExample, TaggedExample, TextExample

MOST_LABELS = 20
LONGEST_NAME = 40  # characters
NO_LABEL = "(no label)"


def overview(splits: Mapping[str, Sequence[Example]], labels: Sequence[str]) -> list[str]:
    """A table with a column for each split: its rows, then the rows with each label, or what the scores are.

    Args:
        splits: the examples of each.
        labels: of the task, in the order of its outputs; those that are seldom in the first split go into one line
            where there are many.
    """
    counts = [Counter(label for example in examples for label in said(example)) for examples in splits.values()]
    known = [*labels, *sorted({label for count in counts for label in count} - set(labels))]
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
    scores = [
        [e.label for e in examples if isinstance(e, TextExample) and isinstance(e.label, float)]
        for examples in splits.values()
    ]
    figures: dict[str, Callable[[list[float]], float]] = {
        "lowest score": min,
        "mean score": fmean,
        "highest score": max,
    }
    return [
        [head, *(f"{figure(of):.4g}" if of else "" for of in scores)] for head, figure in figures.items() if any(scores)
    ]


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
