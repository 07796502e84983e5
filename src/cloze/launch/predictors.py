"""From the folder of a model to what predicts with it: the heads it has, the task it was fine-tuned on."""

from typing import Any, NamedTuple

import torch

from cloze.checkpoint.pretrained import Pretrained, task_model
from cloze.data.downstream.choice import ChoiceFeatures
from cloze.data.downstream.classification import TextFeatures
from cloze.data.downstream.items import Features
from cloze.data.downstream.tagging import TaggingFeatures
from cloze.data.downstream.windows import QuestionFeatures
from cloze.errors import InputError
from cloze.model.heads import BertForPreTraining
from cloze.model.task_heads import ARCHITECTURES
from cloze.optim.schedules import Linear
from cloze.tasks.classification import Classification, MultiLabel, Regression
from cloze.tasks.fill_mask import FillMask
from cloze.tasks.fine_tuned import FineTuned
from cloze.tasks.finetuning import FineTuning, Recipe
from cloze.tasks.inference import Inference, Predictor
from cloze.tasks.multiple_choice import MultipleChoice
from cloze.tasks.next_sentence import NextSentence
from cloze.tasks.question_answering import QuestionAnswering
from cloze.tasks.token_classification import TokenClassification

FILL_MASK, NEXT_SENTENCE, FINE_TUNED = TASKS = ("fill-mask", "next-sentence", "task")
SHORTEST = 8  # tokens: of a pair, and of a question with a window
PASSAGE_LENGTH, QUESTION_LENGTH = 384, 64  # google-research/bert, run_squad.py


class Options(NamedTuple):
    """What can be set of the predictions, see `conf/predict.yaml`."""

    top_k: int = 5
    max_length: int | None = None
    threshold: float | None = None
    n_best: int = 20
    max_answer_length: int = 30
    no_answer: bool | None = None


class Chosen(NamedTuple):
    """A predictor, and the method of `cloze.data.stream.examples.ExampleMaker` that makes its examples."""

    predictor: Predictor[Any]
    shape: str


def task_of(pretrained: Pretrained) -> str:
    """What a folder was saved for."""
    return FINE_TUNED if pretrained.architecture in ARCHITECTURES else FILL_MASK


def make_predictor(task: str, pretrained: Pretrained, inference: Inference, options: Options) -> Chosen:
    """What does a task.

    Args:
        task: one of `TASKS`.
        pretrained: with the head that it needs.
        inference: how the model is applied.
        options: of the predictions.

    Raises:
        InputError: the folder has not that head, or an option does not fit.
    """
    if options.top_k < 1:
        raise InputError(f"top_k={options.top_k}: must be at least 1")
    positions = pretrained.config.max_position_embeddings
    length = positions if options.max_length is None else options.max_length
    if not SHORTEST <= length <= positions:
        raise InputError(f"max_length={length}: must be from {SHORTEST} to {positions}, the positions of the model")
    tokenizer = pretrained.tokenizer
    if task == FINE_TUNED:
        return _fine_tuned(pretrained, inference, options, length)
    if task == NEXT_SENTENCE:
        model = _with_heads(pretrained, inference, task, "pooler", "next_sentence_head")
        return Chosen(NextSentence(model=model, tokenizer=tokenizer, inference=inference, max_length=length), "pair")
    model = _with_heads(pretrained, inference, task, "masked_lm_head")
    filling = FillMask(model=model, tokenizer=tokenizer, inference=inference, top_k=options.top_k, max_length=length)
    return Chosen(filling, "text")


def _with_heads(pretrained: Pretrained, inference: Inference, task: str, *heads: str) -> BertForPreTraining:
    """The pre-trained model with the heads that are needed on the device; what else it has stays without values."""
    there = {name.partition(".")[0] for name in pretrained.state}
    if absent := [head for head in heads if head not in there]:
        held = f"a {pretrained.architecture}" if pretrained.architecture else "a BERT without a head"
        other = ", or choose task=task" if pretrained.architecture in ARCHITECTURES else ""
        raise InputError(
            f"{pretrained.folder} holds {held}, but task={task} needs its {' and '.join(absent)}: give the folder of a "
            f"pre-trained model{other}"
        )
    with torch.device("meta"):
        model = BertForPreTraining(pretrained.config)
    model.load_state_dict(pretrained.state, strict=False, assign=True)
    for part in ("encoder", *heads):
        getattr(model, part).to(inference.device)
    return model.eval()


def _fine_tuned(pretrained: Pretrained, inference: Inference, options: Options, length: int) -> Chosen:
    architecture, labels = pretrained.architecture, pretrained.labels or []
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{pretrained.folder} holds a {architecture or 'BERT without a head'}, which is fine-tuned on no task: "
            "fine-tune it with cloze-finetune, or choose task=fill-mask"
        )
    model = task_model(
        architecture,
        pretrained,
        labels=labels,
        adaptation=pretrained.adaptation,
        problem_type=pretrained.problem_type,
    )
    if model.drawn:
        raise InputError(f"{pretrained.folder}: its weights lack {', '.join(model.drawn)}; copy the folder again")
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=1)  # of a training that never comes
    module, features, shape = _parts(pretrained, options, length, {"model": model, "labels": labels, "recipe": recipe})
    if pretrained.task_state:
        module.set_extra_state(pretrained.task_state)
    module.to(inference.device)
    predictor = FineTuned(module=module, features=features, tokenizer=pretrained.tokenizer, inference=inference)
    return Chosen(predictor, shape)


Parts = tuple[FineTuning[Any], Features[Any], str]


def _parts(pretrained: Pretrained, options: Options, length: int, given: dict[str, Any]) -> Parts:
    """The module of an architecture, its features, and the shape of its examples."""
    if options.threshold is not None and pretrained.problem_type != MultiLabel.problem_type:
        raise InputError(f"threshold is for several labels, but {pretrained.folder} holds a {pretrained.architecture}")
    if pretrained.architecture == TokenClassification.architecture:
        return TokenClassification(**given), TaggingFeatures(max_length=length), "words"
    if pretrained.architecture == MultipleChoice.architecture:
        return MultipleChoice(**given), ChoiceFeatures(max_length=length), "choice"
    if pretrained.architecture == QuestionAnswering.architecture:
        return _question_answering(pretrained, options, length, given)
    problem_type = pretrained.problem_type or Classification.problem_type
    kind = {kind.problem_type: kind for kind in (Classification, MultiLabel, Regression)}[problem_type]
    return kind(threshold=options.threshold, **given), TextFeatures(max_length=length, problem=kind.problem), "text"


def _question_answering(pretrained: Pretrained, options: Options, length: int, given: dict[str, Any]) -> Parts:
    for name in ("n_best", "max_answer_length"):
        if getattr(options, name) < 1:
            raise InputError(f"{name}={getattr(options, name)}: must be at least 1")
    # Only where training has met questions without an answer has it moved the threshold.
    learned = pretrained.task_state.get("no_answer_threshold", 0.0) != 0.0
    module = QuestionAnswering(
        n_best=options.n_best,
        max_answer_length=options.max_answer_length,
        no_answer=learned if options.no_answer is None else options.no_answer,
        **given,
    )
    length = min(length, PASSAGE_LENGTH) if options.max_length is None else length
    question = min(QUESTION_LENGTH, length // 2 - 3)  # room for the passage in small models
    return module, QuestionFeatures(max_length=length, max_question_length=question), "question"
