"""From the folder of a fine-tuned model to what predicts with it."""

from typing import Any

import torch

from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import TASK_CLASSES, Pretrained
from cloze.data.finetuning.choice import ChoiceFeatures
from cloze.data.finetuning.classification import TextFeatures
from cloze.data.finetuning.items import Features
from cloze.data.finetuning.questions import QuestionFeatures
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.errors import InputError
from cloze.launch.long_texts import trained_length, trained_long
from cloze.launch.predictors import Chosen, Options
from cloze.model.task_heads import ARCHITECTURES, TaskModel
from cloze.optim.schedules import Linear
from cloze.tasks.classification import Classification, MultiLabel, Regression
from cloze.tasks.fine_tuned import FineTuned
from cloze.tasks.finetuning import FineTuning, import_path
from cloze.tasks.inference import Inference
from cloze.tasks.multiple_choice import MultipleChoice
from cloze.tasks.question_answering import QuestionAnswering
from cloze.tasks.token_classification import TokenClassification
from cloze.tasks.training import Recipe

OWN_CLASSES = {
    import_path(kind)
    for kind in (
        *(Classification, MultiLabel, Regression, TextFeatures, TokenClassification, TaggingFeatures),
        *(MultipleChoice, ChoiceFeatures, QuestionAnswering, QuestionFeatures),
    )
}
PASSAGE_LENGTH, QUESTION_LENGTH = 384, 64  # google-research/bert, run_squad.py


def fine_tuned(
    pretrained: Pretrained, inference: Inference, options: Options, length: int, model: TaskModel | None = None
) -> Chosen:
    """What predicts the task that a folder was fine-tuned on.

    Raises:
        InputError: it was fine-tuned on none, or an option does not fit.
    """
    architecture, labels = pretrained.architecture, pretrained.labels or []
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{pretrained.folder} holds a {architecture or 'BERT without a head'}, which is fine-tuned on no task: "
            "fine-tune it with cloze-finetune, or choose task=fill-mask"
        )
    _check_classes(pretrained)
    model = model or fine_tuned_model(pretrained)
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=1)  # of a training that never comes
    module, features, shape = _parts(pretrained, options, length, {"model": model, "labels": labels, "recipe": recipe})
    if pretrained.task_state:
        module.set_extra_state(pretrained.task_state)
    module.to(inference.device)
    predictor = FineTuned(module=module, features=features, tokenizer=pretrained.tokenizer, inference=inference)
    return Chosen(predictor, shape)


def _check_classes(pretrained: Pretrained) -> None:
    """Another module may mean something else by the same outputs, and other features see something else in a text."""
    if pretrained.task_classes is None:
        raise InputError(
            f"{pretrained.folder} was saved before the module that it was fine-tuned with was recorded: predict with "
            f"cloze-finetune stage=predict and its task, or, where that is one of cloze's own, write "
            f'"{TASK_CLASSES}": {{}} into its config.json'
        )
    if foreign := [path for path in pretrained.task_classes.values() if path not in OWN_CLASSES]:
        raise InputError(
            f"{pretrained.folder} was fine-tuned with {' and '.join(foreign)}, which only its task can predict with: "
            f"give cloze-finetune task=... stage=predict model={pretrained.folder} task.data.test=FILE"
        )


Parts = tuple[FineTuning[Any], Features[Any], str]


def _parts(pretrained: Pretrained, options: Options, length: int, given: dict[str, Any]) -> Parts:
    """The module of an architecture, its features, and the shape of its examples."""
    if pretrained.architecture == TokenClassification.architecture:
        return TokenClassification(**given), TaggingFeatures(max_length=length), "words"
    if pretrained.architecture == MultipleChoice.architecture:
        return MultipleChoice(**given), ChoiceFeatures(max_length=length), "choice"
    if pretrained.architecture == QuestionAnswering.architecture:
        return _question_answering(pretrained, options, length, given)
    length = trained_length(pretrained, length) if options.max_length is None else length
    problem_type = pretrained.problem_type or Classification.problem_type
    kind = {kind.problem_type: kind for kind in (Classification, MultiLabel, Regression)}[problem_type]
    features = TextFeatures(max_length=length, problem=kind.problem, long=trained_long(pretrained))
    return kind(threshold=options.threshold, **given), features, "text"


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
