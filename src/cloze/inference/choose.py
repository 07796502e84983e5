"""Choose the predictor for a model folder, by its heads and its task."""

from collections.abc import Sequence
from typing import Any

import torch

from cloze.checkpoint.pretrained import Pretrained
from cloze.data.extraction.options import SHORTEST
from cloze.data.tables.row_examples import ExampleMaker
from cloze.errors import InputError
from cloze.inference.fill_mask import FillMask
from cloze.inference.next_sentence import NextSentence
from cloze.inference.predictor import Chosen, Inference, Options
from cloze.model.architecture import architecture_of
from cloze.model.heads import PretrainingModel
from cloze.model.task_heads import TASK_MODELS, TaskModel

FILL_MASK, NEXT_SENTENCE, FINE_TUNED = TASKS = ("fill-mask", "next-sentence", "task")
SHORTEST_QUESTION = 8  # tokens, with a window


MASKS, QUESTIONS, LABELS = "masked tokens", "questions", "several labels"
BELONGING = {
    **dict.fromkeys(("top_k", "targets"), MASKS),
    **dict.fromkeys(("n_best", "max_answer_length", "no_answer"), QUESTIONS),
    "threshold": LABELS,
}
"""What an option is of, where it is not of all predictions."""


def task_of(pretrained: Pretrained) -> str:
    """What a folder was saved for."""
    return FINE_TUNED if pretrained.head in TASK_MODELS else FILL_MASK


def make_predictor(
    task: str,
    pretrained: Pretrained,
    inference: Inference,
    options: Options,
    model: TaskModel | None = None,
    trust: Sequence[str] = (),
) -> Chosen:
    """What does a task.

    Args:
        task: one of `TASKS`.
        pretrained: with the head that it needs.
        inference: how the model is applied.
        options: of the predictions.
        model: of the task, where there is one of the folder already.
        trust: packages whose classes may be built.

    Raises:
        InputError: the folder has not that head, or an option does not fit.
    """
    if options.top_k is not None and options.top_k < 1:
        raise InputError(f"top_k={options.top_k}: must be at least 1")
    _check_belonging(options, task, pretrained)
    shortest = SHORTEST_QUESTION if _predicts(task, pretrained) == QUESTIONS else SHORTEST
    positions = pretrained.config.max_position_embeddings
    length = positions if options.max_length is None else options.max_length
    if positions < shortest:
        raise InputError(f"{pretrained.folder} has {positions} positions, but a prediction needs {shortest} at least")
    if not shortest <= length <= positions:
        raise InputError(f"max_length={length}: must be from {shortest} to {positions}, the positions of the model")
    tokenizer = pretrained.tokenizer
    if task == FINE_TUNED:
        from cloze.inference.rebuild import fine_tuned  # Lightning takes longer to import than most texts to predict

        return fine_tuned(pretrained, inference, options, model, trust)
    if task == NEXT_SENTENCE:
        heads = _with_heads(pretrained, inference, task, *architecture_of(pretrained.config).pair_parts)
        return Chosen(
            NextSentence(model=heads, tokenizer=tokenizer, inference=inference, max_length=length), ExampleMaker.pair
        )
    heads = _with_heads(pretrained, inference, task, "masked_lm_head")
    filling = FillMask(
        model=heads,
        tokenizer=tokenizer,
        mask=pretrained.special.mask_of(pretrained.folder),
        inference=inference,
        top_k=options.top_k,
        max_length=length,
        targets=options.targets or (),
    )
    return Chosen(filling, ExampleMaker.text)


def _predicts(task: str, pretrained: Pretrained) -> str:
    """What has options of its own; else the task."""
    if task == FILL_MASK:
        return MASKS
    if task == FINE_TUNED and pretrained.head == "question_answering":
        return QUESTIONS
    return LABELS if task == FINE_TUNED and pretrained.problem_type == "multi_label_classification" else task


def _check_belonging(options: Options, task: str, pretrained: Pretrained) -> None:
    """Nothing that was asked for is passed over.

    Raises:
        InputError: an option is set that the task does not have.
    """
    for name, what in BELONGING.items():
        value = getattr(options, name)
        if value not in (Options._field_defaults[name], None, []) and what != _predicts(task, pretrained):
            raise InputError(
                f"{name} is for {what}, which {pretrained.folder} does not predict with task={task}: leave it out"
            )


def _with_heads(pretrained: Pretrained, inference: Inference, task: str, *heads: str) -> PretrainingModel:
    """The pre-trained model with the heads that are needed on the device; what else it has stays without values."""
    there = {name.partition(".")[0] for name in pretrained.state}
    if absent := [head for head in heads if head not in there]:
        other = ", or choose task=task" if pretrained.head in TASK_MODELS else ""
        raise InputError(
            f"{pretrained.folder} holds a {pretrained.title}, but task={task} needs its {' and '.join(absent)}: "
            f"give the folder of a pre-trained model{other}"
        )
    with torch.device("meta"):
        model: Any = architecture_of(pretrained.config).pretraining(pretrained.config)
    model.load_state_dict(pretrained.state, strict=False, assign=True)
    for part in ("encoder", *heads):
        getattr(model, part).to(inference.device)
    return model.eval()  # type: ignore[no-any-return]  # of a class with those heads
