"""What is shown of texts that are longer than a sequence: as `task.long` asks, or as a model was trained."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from cloze.checkpoint.pretrained import TASK_FEATURES, Pretrained
from cloze.config.sections import Task
from cloze.data.finetuning.classification import LONG_TEXTS, MIN_LENGTH
from cloze.data.finetuning.items import Features
from cloze.data.finetuning.questions import QuestionFeatures
from cloze.data.finetuning.sequences import Long
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.errors import InputError

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
    elif not hasattr(features, "long"):
        raise InputError(
            f"task.long={task.long}: is for a class, labels or a score of a text, but {task.name} cuts long texts at"
            " their end and knows no other way; leave it out"
        )
    elif features.long not in (TRUNCATE, task.long):
        raise InputError(f"task.long={task.long}: task.features.long is {features.long}; leave one of them out")
    else:
        features.long = task.long


def show_as_trained(features: Features[Any], task: Task, pretrained: Pretrained) -> Iterator[str]:
    """Where nothing is asked, show texts as in the training of a model; yields what the reader should know of it."""
    trained = trained_long(pretrained)
    if task.long is None and getattr(features, "long", None) == TRUNCATE != trained:
        features.long = trained  # type: ignore[attr-defined]
        yield f"task.long={trained}, as the model was trained; task.long={TRUNCATE} cuts long texts"
    length = trained_length(pretrained, features.max_length)
    if length != features.max_length:
        yield f"the model was trained with task.max_length={length}, but here it is {features.max_length}"


def trained_long(pretrained: Pretrained) -> Long:
    """What was shown of long texts when the model was trained.

    Raises:
        InputError: the folder tells something else.
    """
    found = pretrained.task_features.get("long", TRUNCATE)
    if found not in get_args(Long):
        raise InputError(
            f"{pretrained.folder}/config.json: long of {TASK_FEATURES} is {found!r}, but must be one of"
            f" {', '.join(get_args(Long))}"
        )
    return found  # type: ignore[return-value]


def trained_length(pretrained: Pretrained, default: int) -> int:
    """Tokens of the longest sequence in training, where the folder tells it.

    Raises:
        InputError: the model cannot have been trained with so many.
    """
    found, positions = (
        int(pretrained.task_features.get("max_length", default)),
        pretrained.config.max_position_embeddings,
    )
    if "max_length" in pretrained.task_features and not MIN_LENGTH <= found <= positions:
        raise InputError(
            f"{pretrained.folder}/config.json: max_length of {TASK_FEATURES} is {found}, but must be from {MIN_LENGTH}"
            f" to {positions}, the positions of the model"
        )
    return found


def encoding_notes(features: Features[Any], counts: Mapping[str, Counter[str]]) -> Iterator[str]:
    """What was cut or left out in encoding, and how often in each split."""
    total = sum(counts.values(), Counter[str]())
    for note, count in sorted(total.items()):
        places = ", ".join(f"{of[note]:,} in {split}" for split, of in counts.items() if of[note])
        is_cut = note == LONG_TEXTS[TRUNCATE].format(features.max_length)
        hint = "; task.long=head_tail shows their ends, task.long=windows all of them" if is_cut else ""
        yield f"{count:,} {note} ({places}){hint}"
