"""The parts of a fine-tuning run: examples, tokenizer, labels, model and module, from its configuration."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer

from cloze.callbacks.length import Length
from cloze.checkpoint.growth import told_tokens, with_own_tokens
from cloze.checkpoint.modules import refuse_drawn
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.record import Made, Record, import_path
from cloze.checkpoint.task_models import task_model
from cloze.config.nodes import Node
from cloze.config.schema import FineTuning as Config
from cloze.config.sections import ModelFolder, TaskTraining, model_folder
from cloze.data.finetuning.batching import FrozenRows
from cloze.data.finetuning.frozen import frozen_features
from cloze.data.finetuning.items import Features
from cloze.data.finetuning.module import TaskData
from cloze.data.finetuning.overview import overview
from cloze.data.pretraining.loader import ENDLESS
from cloze.data.tables.examples import texts
from cloze.errors import InputError
from cloze.inference.rebuild import OWN, fits_problem
from cloze.launch.long_texts import differences, encoding_notes, show_as_asked, with_recorded
from cloze.launch.strategy import compute_as
from cloze.launch.teacher import task_teacher
from cloze.launch.trainer import make_recipe
from cloze.model.encoder import TRAINING_ONLY
from cloze.model.task_heads import TaskModel
from cloze.run.hardware import check_attention
from cloze.runtime.spinner import waiting
from cloze.tasks.finetuning import FineTuning
from cloze.text.progress import ConsoleProgress
from cloze.text.tokenizer_adaptation import check_own


class TaskSetup(NamedTuple):
    """What a run works with."""

    data: TaskData[Any]
    tokenizer: Tokenizer
    labels: list[str]
    module: FineTuning[Any]
    length: Length


def set_up_task(config: Config, *, freeze: bool = True) -> TaskSetup:
    """Read the splits that the stage needs, make the model, encode the splits for it.

    Args:
        config: the root, with the hardware as it is on this machine.
        freeze: compute the hidden states of a frozen encoder once for all; else each step runs through the encoder.

    Raises:
        InputError: the data, the model and the task do not fit each other.
    """
    with _printed_at_end() as notes:
        setup = _set_up(config, notes)
    if freeze and setup.module.model.adaptation.is_frozen:
        setup.data.frozen = _frozen(config, setup.data, setup.module.model)
    return setup


@contextmanager
def _printed_at_end() -> Iterator[list[str]]:
    """Notes for the reader, who sees them before an error, too."""
    notes: list[str] = []
    try:
        yield notes
    finally:
        _print(notes)


def _set_up(config: Config, notes: list[str]) -> TaskSetup:
    with waiting("reading the data"):
        data = _data(config)
    pretrained = _pretrained(config, data, notes)
    labels = _labels(config, data, pretrained)
    if config.stage != "train":
        config = _as_trained(config, pretrained.record, data, notes)
    notes += _as_notes(getattr(data.source, "notes", ()))  # a source of the user's own may have none
    if data.features.max_length > pretrained.config.max_position_embeddings:
        raise InputError(
            f"task.max_length is {data.features.max_length}, but the model has only "
            f"{pretrained.config.max_position_embeddings} positions: take task.max_length="
            f"{pretrained.config.max_position_embeddings} or less"
        )
    teacher = task_teacher(config, pretrained, labels, data.features.max_length)
    with waiting("encoding the data"):
        data.encode(pretrained.tokenizer, labels)
    data.tokenizer_files = pretrained.tokenizer_files
    notes += _as_notes(f"{count:,} {told}" for told, count in sorted(data.source.counts.items()))
    notes += _as_notes(encoding_notes(data.features, data.encoding_counts))
    length = _length(config.trainer, data)
    data.training_batches = length.steps or ENDLESS
    module = _module(config, pretrained, data.features, labels, length)
    if "train" in data.splits:
        module.attach(data)
    if teacher is not None:
        module.learn_from(teacher, weight=config.distillation.weight, temperature=config.distillation.temperature)
    if module.model.drawn and pretrained.state:
        kept = f"{', '.join(module.model.kept)}: from the folder; " if module.model.kept else ""
        notes += _as_notes([f"{kept}{', '.join(module.model.drawn)}: drawn at random"])
    for name, split in data.splits.items():
        if name != "train":
            is_monitored = name in data.dev_splits[:1] and config.stage == "train"
            notes += _as_notes(module.check_split(name, split.examples, is_monitored=is_monitored))
    notes += overview(data.examples, labels)
    return TaskSetup(data, pretrained.tokenizer, labels, module, length)


def _as_notes(texts: Iterable[str]) -> Iterator[str]:
    return (f"note: {text}" for text in texts)


@rank_zero_only
def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _frozen(config: Config, data: TaskData[Any], model: TaskModel) -> dict[str, FrozenRows]:
    """The hidden states of a frozen encoder for every split, computed once for all epochs and all runs."""
    device, cache = "cuda" if config.hardware.on_gpu else "cpu", Path(config.adaptation.cache)
    with ConsoleProgress() as progress:
        return {
            name: frozen_features(
                model.encoder, split.items, model.mix.numbers, cache, device=device, progress=progress
            ).rows
            for name, split in data.splits.items()
        }


def _data(config: Config) -> TaskData[Any]:
    """The data module with the examples of every split that the stage needs."""
    data = config.data.build(evaluation_tokens=config.hardware.micro_batch_tokens)
    show_as_asked(data.features, config.task)
    wanted = {"train": ("train", "dev", "test"), "evaluate": ("dev", "test"), "predict": ("test",)}[config.stage]
    splits = [split for split in data.source.splits if split.startswith(wanted)]
    if wanted[0] not in ("dev", *splits) or not splits:
        raise InputError(f"stage={config.stage} needs task.data.{wanted[0]}: set it to a file")
    data.read(splits)
    return data


def _pretrained(config: Config, data: TaskData[Any], notes: list[str]) -> Pretrained:
    """The model folder, as it is or without its weights; or a size with a vocabulary, given or trained on the texts."""
    words, folder = config.tokenizer.build(), model_folder(config.model)
    if folder is None:
        if words.is_given:
            own = words.given()
            notes += words.notes(own)
        else:
            training = [text for example in data.examples["train"] for text in texts(example)]
            with waiting("training a vocabulary"):
                own, _, more = words.learn(lambda: training)
            notes += more
        shape = config.model.build(vocab_size=own.tokenizer.get_vocab_size())
        assert not isinstance(shape, ModelFolder)
        found = Pretrained(config=shape, tokenizer=own.tokenizer, tokenizer_files=own.files)
    else:
        with waiting("reading the model"):
            found = read_pretrained(Path(folder.folder))
        check_own(words, found.tokenizer, str(found.folder))
        found = _with_own_tokens(words.special_tokens, found, config.stage, notes)
        if folder.weights == "random":
            found = Pretrained(config=found.config, tokenizer=found.tokenizer, tokenizer_files=found.tokenizer_files)
    attention_dropout = config.adaptation.attention_probs_dropout_prob
    check_attention(
        found.config.attention_probs_dropout_prob if attention_dropout is None else attention_dropout,
        config.hardware,
        key="adaptation.attention_probs_dropout_prob",
    )
    return found


def _with_own_tokens(tokens: Sequence[str], found: Pretrained, stage: str, notes: list[str]) -> Pretrained:
    """The model with embeddings for the special tokens that its tokenizer lacks."""
    if tokens and stage != "train":
        raise InputError(
            f"tokenizer.special_tokens is for stage=train, but stage is {stage}: leave it out, {found.folder} has "
            "its own"
        )
    if not tokens:
        return found
    there = found.tokenizer.get_vocab(with_added_tokens=True)
    if new := [token for token in tokens if token not in there]:
        notes += _as_notes([told_tokens(new)])
    return with_own_tokens(found, tokens)


def _labels(config: Config, data: TaskData[Any], pretrained: Pretrained) -> list[str]:
    """Those of the training split; for a fine-tuned model its own."""
    if config.stage == "train":
        return data.features.labels(data.examples["train"])
    module = config.task.module.class_
    if pretrained.head != module.head:
        raise InputError(
            f"{pretrained.folder} holds a {pretrained.title}, but the task {config.task.name} needs a "
            f"{pretrained.class_of(module.head)}: fine-tune it, or choose the task that it was made for"
        )
    record = pretrained.record
    wanted = {"module": import_path(module), "features": import_path(type(data.features))}
    for part, trained in (("module", record.module.target), ("features", record.features.target)):
        if trained not in (None, wanted[part]) and (trained not in OWN or wanted[part] in OWN):
            raise InputError(
                f"{pretrained.folder} was fine-tuned with {trained}, but task.{part} is {wanted[part]}: choose the "
                "task that it was made for"
            )
    if not fits_problem(module, pretrained.problem_type):
        raise InputError(
            f"{pretrained.folder} was fine-tuned for {pretrained.problem_type}, but the task {config.task.name} is "
            f"{module.problem_type}: choose the task that it was made for"
        )
    return pretrained.labels or []


def _as_trained(config: Config, record: Record, data: TaskData[Any], notes: list[str]) -> Config:
    """The module and the features that made a model, with what this configuration states in place of the same."""
    task, long = config.task, config.task.long
    shown: Node[Features[Any]] = Node("task.features", config.data.plain["features"])
    module = with_recorded(task.module, record.module, task.module.class_)
    features = with_recorded(shown, record.features, type(data.features))
    if long is not None and "long" not in shown.plain:
        features = Node(features.key, {name: value for name, value in features.plain.items() if name != "long"})
    notes += _as_notes(differences(features.plain, record.features, asked=long))
    data.features = features.build()
    show_as_asked(data.features, task)
    return replace(config, task=replace(task, module=module))


def _recorded(config: Config, module: FineTuning[Any], features: Features[Any]) -> Record:
    """What the model folder says of the module and the features: their classes, and what they were made with."""
    task = config.task

    def made(node: Node[Any], kind: type, **more: Any) -> Made:
        known = {name: value for name, value in node.arguments.items() if name not in module.training_arguments}
        return Made.by(import_path(kind), {**known, **more} if node.type is kind else None)

    long = {"long": features.long} if task.long is not None and hasattr(features, "long") else {}
    return Record(module=made(task.module, type(module)), features=made(task.features, type(features), **long))


def _length(training: TaskTraining, data: TaskData[Any]) -> Length:
    """The length of training in optimizer steps, each of one global batch, or in seconds."""
    if "train" not in data.splits:
        return Length(steps=1)
    if training.max_time is not None:
        return Length(seconds=training.seconds())
    if training.max_tokens is not None:
        return Length(steps=data.steps(training.max_tokens / data.tokens_in_epoch))
    return Length(steps=training.max_steps or data.steps(training.max_epochs or 0))


def _module(
    config: Config, pretrained: Pretrained, features: Features[Any], labels: Sequence[str], length: Length
) -> FineTuning[Any]:
    target, recipe = config.task.module.class_, make_recipe(config, length)
    # What a fine-tuned model reads of its encoder is its own affair.
    adaptation = config.adaptation if config.stage == "train" else pretrained.adaptation
    model = task_model(target.head, pretrained, labels=labels, adaptation=adaptation, problem_type=target.problem_type)
    if config.stage != "train":
        refuse_drawn(model, pretrained)
    compute_as(config.hardware, model.encoder, static_shapes=False)
    parameters = {f"model.{name}" for name in model.state_dict()}
    module = config.task.module.build(model=model, labels=labels, recipe=recipe)
    of_training = {name for name in module.state_dict() if name.startswith(f"model.{TRAINING_ONLY}.")}
    if more := sorted(module.state_dict().keys() - parameters - of_training - {"_extra_state"}):
        raise InputError(
            f"task.module: {import_path(target)} has parameters of its own ({', '.join(more)}), for which the model "
            "folder has no place: keep to those of its model"
        )
    module.record = _recorded(config, module, features)
    if config.stage != "train" and pretrained.record.state:
        module.set_extra_state(dict(pretrained.record.state))
    return module
