"""How to read texts longer than a sequence: from `task.long`, or as in training."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from cloze.checkpoint.record import Made, import_path
from cloze.config.nodes import Node
from cloze.config.sections import Task
from cloze.data.finetuning.choice import CUT, ChoiceFeatures
from cloze.data.finetuning.classification import LONG_TEXTS
from cloze.data.finetuning.items import Features, Long
from cloze.data.finetuning.questions import QuestionFeatures
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.errors import InputError

T = TypeVar("T")
TRUNCATE: Long = "truncate"


def show_as_asked(features: Features[Any], task: Task) -> None:
    """Hand `task.long` on to the features.

    Raises:
        InputError: they know nothing of the kind.
    """
    if task.long is None:
        return
    if isinstance(features, TaggingFeatures | QuestionFeatures):
        if task.long != "windows":
            raise InputError(
                f"task.long={task.long}: tagged sentences and passages are always read in windows, so that every word"
                " is seen; leave it out"
            )
    elif isinstance(features, ChoiceFeatures) and task.long == "windows":
        raise InputError(
            "task.long=windows: a choice is read in one sequence; task.long=head_tail shows the end of long texts, too"
        )
    elif not hasattr(features, "long"):
        raise InputError(
            f"task.long={task.long}: {task.name} truncates long texts at their end and knows no other way; leave it out"
        )
    elif features.long not in (TRUNCATE, task.long):
        raise InputError(f"task.long={task.long}: task.features.long is {features.long}; leave one of them out")
    else:
        features.long = task.long


def with_recorded(node: Node[T], made: Made, kind: type) -> Node[T]:
    """A node with the arguments that a model folder records, where the node states none and is of the same class."""
    recorded = made.arguments or {} if made.target in (None, import_path(kind)) else {}
    return node.with_(**{name: value for name, value in recorded.items() if node.plain.get(name) is None})


def differences(node: Mapping[str, Any], made: Made, *, asked: str | None) -> Iterator[str]:
    """What the reader should know of features that are not those of the training."""
    recorded = made.arguments or {}
    long = recorded.get("long", TRUNCATE)
    if asked is None and node.get("long") == long != TRUNCATE:
        yield f"task.long={long}, as the model was trained; task.long={TRUNCATE} truncates long texts"
    for name in sorted(recorded.keys() & node.keys() - {"long"}):
        if node[name] != recorded[name]:
            key = "task.max_length" if name == "max_length" else f"task.features.{name}"
            yield f"the model was trained with {key}={recorded[name]}, but here it is {node[name]}"


def encoding_notes(features: Features[Any], counts: Mapping[str, Counter[str]]) -> Iterator[str]:
    """What was truncated or left out in encoding, and how often in each split."""
    total = sum(counts.values(), Counter[str]())
    ends = "; task.long=head_tail shows their ends"
    hints = {
        kinds[TRUNCATE].format(features.max_length): hint
        for kinds, hint in ((CUT, ends), (LONG_TEXTS, f"{ends}, task.long=windows all of them"))
    }
    for note, count in sorted(total.items()):
        places = ", ".join(f"{of[note]:,} in {split}" for split, of in counts.items() if of[note])
        hint = hints.get(note, "") if hasattr(features, "long") else ""
        yield f"{count:,} {note} ({places}){hint}"
