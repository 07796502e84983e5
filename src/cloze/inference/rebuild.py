"""Rebuild the module and features that made the folder of a fine-tuned model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.record import RECORD, Made, Record, import_path
from cloze.config.trust import trusted_class
from cloze.config.validation import checked_arguments
from cloze.data.finetuning.choice import ChoiceFeatures
from cloze.data.finetuning.classification import TextFeatures
from cloze.data.finetuning.embedding import EmbeddingFeatures
from cloze.data.finetuning.items import Features
from cloze.data.finetuning.pair_rows import compared
from cloze.data.finetuning.questions import QuestionFeatures
from cloze.data.finetuning.reranking import RerankingFeatures
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.data.tables.examples import Example, Prediction
from cloze.data.tables.row_examples import ExampleMaker, Make
from cloze.data.tables.spans import with_whole_tokens
from cloze.errors import BadRowError, InputError
from cloze.inference.predictor import Chosen, Inference, Options, Predictor
from cloze.model.architecture import Head
from cloze.model.task_heads import TaskModel
from cloze.optim.schedules import Linear
from cloze.tasks.classification import Classification, MultiLabel, Regression
from cloze.tasks.embedding import Embedding
from cloze.tasks.finetuning import FineTuning
from cloze.tasks.multiple_choice import MultipleChoice
from cloze.tasks.question_answering import QuestionAnswering
from cloze.tasks.reranking import Reranking
from cloze.tasks.token_classification import TokenClassification
from cloze.tasks.training import Recipe


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A task of cloze's own.

    Attributes:
        module: says which head and which problem_type it serves.
        features: from its examples to what the model sees.
        make: makes its examples.
        arguments: of the features, besides their lengths.
        max_length: tokens of a sequence, where neither the folder nor the command says it; None for all positions.
        max_question_length: the same of a question; None for features without questions.
    """

    module: type[FineTuning[Any]]
    features: type[Features[Any]]
    make: Make
    arguments: Mapping[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    max_question_length: int | None = None

    def serves(self, head: Head | None, problem_type: str | None) -> bool:
        """Whether it is for a model with this head and this kind of label."""
        return self.module.head == head and fits_problem(self.module, problem_type)

    def learned(self, state: Mapping[str, float]) -> dict[str, Any]:
        """Arguments of the module, where they are not recorded: only questions without an answer move the threshold."""
        return {"no_answer": True} if state.get("no_answer_threshold", 0.0) != 0.0 else {}

    def lengths(self, max_length: int) -> dict[str, int]:
        """Arguments of the features."""
        if self.max_question_length is None:
            return {"max_length": max_length}
        # Room for the passage in small models.
        return {"max_length": max_length, "max_question_length": min(self.max_question_length, max_length // 2 - 3)}


STOCK = (
    Stock(module=Classification, features=TextFeatures, make=ExampleMaker.text, arguments={"problem": "single_label"}),
    Stock(module=MultiLabel, features=TextFeatures, make=ExampleMaker.text, arguments={"problem": "multi_label"}),
    Stock(module=Regression, features=TextFeatures, make=ExampleMaker.text, arguments={"problem": "regression"}),
    Stock(module=TokenClassification, features=TaggingFeatures, make=ExampleMaker.words),
    Stock(
        module=QuestionAnswering,
        features=QuestionFeatures,
        make=ExampleMaker.question,
        max_length=384,  # google-research/bert, run_squad.py
        max_question_length=64,
    ),
    Stock(module=MultipleChoice, features=ChoiceFeatures, make=ExampleMaker.choice),
    Stock(module=Embedding, features=EmbeddingFeatures, make=compared),
    Stock(module=Reranking, features=RerankingFeatures, make=compared),
)
"""The first one that serves a folder is taken where that names no class of another one."""

OWN: dict[str, type] = {import_path(kind): kind for stock in STOCK for kind in (stock.module, stock.features)}
"""Every class of cloze that a folder may name, by its import path."""


class Rebuilt(NamedTuple):
    """What predicts the task of a folder."""

    module: FineTuning[Any]
    features: Features[Any]
    make: Make


def fits_problem(module: type[FineTuning[Any]], problem_type: str | None) -> bool:
    """Whether a module is for a kind of label, by Hugging Face's word; None where it is not known."""
    return module.problem_type is None or problem_type in (None, module.problem_type)


def rebuild(
    pretrained: Pretrained,
    model: TaskModel,
    *,
    max_length: int | None = None,
    options: Mapping[str, Any] | None = None,
    trust: Sequence[str] = (),
) -> Rebuilt:
    """The module and the features that made a folder, as they were.

    Args:
        pretrained: the folder.
        model: of its task.
        max_length: tokens of a sequence, in place of those in training.
        options: arguments of the module in place of those in training.
        trust: packages besides cloze whose classes may be built.

    Raises:
        InputError: the folder asks for a class that is not trusted or is none of a task, or for arguments that it does
            not take.
    """
    record = pretrained.record
    stock = _stock(pretrained, record)
    kind, features_kind = _classes(pretrained, record, stock, trust)
    positions = pretrained.config.max_position_embeddings
    is_complete = record.module.arguments is not None and record.features.arguments is not None
    shown = dict(record.features.arguments or {})
    if not is_complete:
        longest = min(positions, stock.max_length or positions)
        shown = {**stock.arguments, **stock.lengths(longest), **shown}
    if max_length is not None:
        shown |= stock.lengths(max_length) if features_kind is stock.features else {"max_length": max_length}
    features = _made(features_kind, shown, "features", pretrained, {})
    if features.max_length > positions:
        raise InputError(
            f"{_file(pretrained)}: max_length of features is {features.max_length}, but the model has only {positions} "
            "positions: the files do not belong together"
        )
    learned = stock.learned(record.state) if record.module.arguments is None else {}
    arguments = {**learned, **(record.module.arguments or {}), **(options or {})}
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=1)  # of a training that never comes
    given = {"model": model, "labels": pretrained.labels or [], "recipe": recipe}
    module = _made(kind, arguments, "module", pretrained, given)
    if record.state:
        module.set_extra_state(dict(record.state))
    module.record = record
    return Rebuilt(module, features, stock.make)


def _stock(pretrained: Pretrained, record: Record) -> Stock:
    """The task of cloze's own that a folder is of, or whose examples it takes."""
    serving = [stock for stock in STOCK if stock.serves(pretrained.head, pretrained.problem_type)]
    named = {record.module.target, record.features.target}
    return next((s for s in serving if named & {import_path(s.module), import_path(s.features)}), serving[0])


def _classes(
    pretrained: Pretrained, record: Record, stock: Stock, trust: Sequence[str]
) -> tuple[type[FineTuning[Any]], type[Features[Any]]]:
    """Another module may mean something else by the same outputs, and other features see something else in a text."""
    if not record.is_known:
        raise InputError(
            f"{pretrained.folder} was saved before the module that it was fine-tuned with was recorded: predict with "
            f"cloze-finetune stage=predict and its task, or, where that is one of cloze's own, write "
            f'"task_classes": {{}} into its config.json'
        )
    foreign = {made.target: made for made in (record.module, record.features) if made.target not in (None, *OWN)}
    if bare := [str(path) for path, made in foreign.items() if made.arguments is None]:
        raise InputError(
            f"{pretrained.folder} was fine-tuned with {' and '.join(bare)}, which only its task can predict with: "
            f"give cloze-finetune task=... stage=predict model={pretrained.folder} task.data.test=FILE"
        )
    file = _file(pretrained)
    module = _class(record.module, stock.module, _is_module, f"{file}: module", "modules", trust)
    features = _class(record.features, stock.features, _is_features, f"{file}: features", "features", trust)
    if module.head != pretrained.head or not fits_problem(module, pretrained.problem_type):
        raise InputError(
            f"{file}: module is {import_path(module)}, which is for {_described(module, pretrained)}, but the "
            f"folder holds {_described(pretrained, pretrained)}: the files do not belong together"
        )
    return module, features


def _class(made: Made, stock: type, fits: Any, source: str, kind: str, trust: Sequence[str]) -> Any:
    if made.target is None:
        return stock
    own = OWN.get(made.target)
    if own is not None and fits(own):
        return own
    return trusted_class(made.target, trust, fits, source=source, kind=kind)


def _is_module(kind: type) -> bool:
    return issubclass(kind, FineTuning)


def _is_features(kind: type) -> bool:
    return all(callable(getattr(kind, name, None)) for name in ("labels", "items"))


def _made(kind: type, arguments: Mapping[str, Any], part: str, pretrained: Pretrained, given: Mapping[str, Any]) -> Any:
    """An object of a class, whose arguments are looked at first.

    Raises:
        InputError: it takes no such arguments.
    """
    key = f"{_file(pretrained)}: {part}"
    checked = checked_arguments(arguments, kind, key, given=given)
    try:
        return kind(**checked, **given)
    except (TypeError, ValueError) as error:
        raise InputError(f"{key}: {error}") from error


def _described(model: type[FineTuning[Any]] | Pretrained, pretrained: Pretrained) -> str:
    kind = f" for {model.problem_type}" if model.problem_type else ""
    return f"a {pretrained.class_of(model.head)}{kind}"


def _file(pretrained: Pretrained) -> str:
    return f"{pretrained.folder}/{RECORD}"


class TaskPredictor(Predictor[Example]):
    """The module of a task, outside of a trainer.

    Args:
        module: of the task, on the device.
        features: from examples to what the model sees.
        tokenizer: its own.
        inference: how it is applied.
    """

    repeats = frozenset({"text", "text_pair", "words", "question", "choices"})

    def __init__(
        self, *, module: FineTuning[Any], features: Features[Any], tokenizer: Tokenizer, inference: Inference
    ) -> None:
        self.module = module.eval()
        self.features = features
        self.tokenizer = tokenizer
        self.inference = inference
        self.counts = features.counts
        self.fields = module.fields

    def predict(self, examples: Sequence[Example]) -> list[Prediction | BadRowError]:
        """What the module says of each example."""
        examples = with_whole_tokens(examples, self.tokenizer)
        items = self.features.items(examples, self.tokenizer, self.module.labels)
        outputs = self.inference.outputs(items, self._step)
        return [*self.module.predictions(examples, items, outputs)]

    def _step(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        return self.module.outputs(batch)


def fine_tuned(
    pretrained: Pretrained, inference: Inference, options: Options, model: TaskModel | None, trust: Sequence[str]
) -> Chosen:
    """What predicts the task that a folder was fine-tuned on.

    Raises:
        InputError: it was fine-tuned on none, or an option does not fit.
    """
    model = model or fine_tuned_model(pretrained)
    if model is None:
        raise InputError(
            f"{pretrained.folder} holds a {pretrained.title}, which is fine-tuned on "
            "no task: fine-tune it with cloze-finetune, or choose task=fill-mask"
        )
    if pretrained.head == "embedding":
        raise InputError(f"{pretrained.folder} gives embeddings, which cloze-embed writes: give it model= and input=")
    for name in ("n_best", "max_answer_length"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"{name}={value}: must be at least 1")
    found = rebuild(pretrained, model, max_length=options.max_length, options=options.of_module(), trust=trust)
    module, tokenizer = found.module.to(inference.device), pretrained.tokenizer
    predictor = TaskPredictor(module=module, features=found.features, tokenizer=tokenizer, inference=inference)
    return Chosen(predictor, found.make)
