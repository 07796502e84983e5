"""A task model on the encoder of any BERT, and its folder."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.cross_encoder import cross_encoder_files, cross_encoder_settings, is_cross_encoder
from cloze.checkpoint.folder import portable
from cloze.checkpoint.pretrained import FIXED_OUTPUTS, Pretrained
from cloze.checkpoint.record import HEAD, RECORD, OwnHead, Record
from cloze.checkpoint.sentence_transformers import embedding_files
from cloze.checkpoint.writing import write_folder
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.encoder import TRAINING_ONLY
from cloze.model.task_heads import TASK_MODELS, TaskModel

UNMADE = Record()
"""Of a model that no module has trained: cloze's own ones predict with it."""


def task_model(
    head: Head,
    pretrained: Pretrained,
    *,
    labels: Sequence[str],
    adaptation: Adaptation,
    problem_type: str | None = None,
) -> TaskModel:
    """The model of a task on a pre-trained encoder, or on a random one.

    The classifier is the folder's where that was saved for the same task with the same labels; what else has the same
    names in Hugging Face's classes is taken over as ``from_pretrained`` does, as is ModernBERT's transform before the
    decoder. All other parts are newly initialised: the model's ``drawn`` names them.

    Args:
        head: one of ``TASK_MODELS``.
        pretrained: what to begin with.
        labels: the classes in the order of the outputs; none for a score, for answers and for choices.
        adaptation: what is trained and which hidden states the head reads.
        problem_type: Hugging Face's name of the kind of classification.

    Raises:
        InputError: the folder was saved for another head, or the adaptation does not fit the encoder.
    """
    if pretrained.head in TASK_MODELS and pretrained.head not in (head, "embedding"):
        raise InputError(
            f"{pretrained.folder} was fine-tuned as {pretrained.kind}, but this task needs "
            f"{pretrained.class_of(head)}: give the pre-trained model, or a task of the same kind"
        )
    if adaptation.classifier_dropout is None:
        adaptation = dataclasses.replace(adaptation, classifier_dropout=pretrained.classifier_dropout)
    outputs = FIXED_OUTPUTS.get(head, max(1, len(labels)))
    try:
        model = TASK_MODELS[head](pretrained.config, outputs, adaptation)
    except ValueError as error:
        raise InputError(f"adaptation.{error}") from error
    same_task = (
        pretrained.head == head
        and pretrained.labels == list(labels)
        and pretrained.problem_type in (None, problem_type)
    )
    state = _kept(model, pretrained, same_task)
    model.load_state_dict(state, strict=False)
    model.drawn = tuple(dict.fromkeys(_part(name) for name in model.state_dict() if name not in state))
    kept = dict.fromkeys(_part(name) for name in state if _is_head(name))
    model.kept = tuple(part for part in kept if part not in model.drawn)
    return model


def _part(name: str) -> str:
    """'encoder.blocks.11.attention.output.bias' -> 'encoder.blocks.11', 'pooler.dense.bias' -> 'pooler'."""
    words = name.split(".")
    return ".".join(words[:3]) if words[1] == "blocks" else words[0]


def _is_head(name: str) -> bool:
    return not name.startswith("encoder.")


def _kept(model: TaskModel, pretrained: Pretrained, same_task: bool) -> dict[str, Tensor]:
    """The parameters that the model takes over."""
    adaptation, blocks = model.adaptation, model.config.num_hidden_layers
    own = model.state_dict()
    head = [name for name in own if not name.startswith(("encoder.", "pooler."))]
    state = _named_as(own, pretrained)
    same_head = (  # and fed as it was
        same_task
        and adaptation.layers == pretrained.adaptation.layers
        # A pooler that the head does not read may be there all the same, as transformers 3 saved it.
        and (model.pooler is not None)
        == (model.published_pooler(architecture_of(model)) is not None and "pooler" in pretrained.parts)
        and all(name in state and state[name].shape == own[name].shape for name in head)
    )
    anew = [] if same_head else head
    if adaptation.reinitialized_layers:
        upper = range(blocks - adaptation.reinitialized_layers, blocks)
        anew += ["pooler.", *(f"encoder.blocks.{number}." for number in upper)]
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(anew))}


def _named_as(own: Iterable[str], pretrained: Pretrained) -> dict[str, Tensor]:
    """The folder's parameters of these names, or those that have the same name in Hugging Face's classes."""
    names = architecture_of(pretrained.config).names(pretrained.config)
    heads = {name: part for name, part in pretrained.state.items() if names.has(name) and _is_head(name)}
    theirs = names.to_hugging_face(heads)
    state = {}
    for name in own:
        if name in pretrained.state:
            state[name] = pretrained.state[name]
        elif names.has(name) and _is_head(name):
            with suppress(KeyError):
                state |= names.from_hugging_face(theirs, [name])
    return state


def save_task_model(
    model: TaskModel,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    head: Head,
    labels: Sequence[str],
    problem_type: str | None = None,
    record: Record = UNMADE,
    state: Mapping[str, Tensor] | None = None,
    tokenizer_files: Mapping[str, bytes] | None = None,
) -> None:
    """Write the folder of a fine-tuned model, for ``AutoModelFor...``, ``pipeline`` and ``read_pretrained``.

    A model for which Hugging Face has no class becomes the folder of its encoder, as a ``BertModel``, with the head in
    ``head.safetensors`` (our names); ``cloze.json`` says what it means, and of every model what made it.

    Args:
        model: saved in fp32.
        tokenizer: saved with it.
        folder: replaced if it exists.
        head: one of ``TASK_MODELS``.
        labels: the classes in the order of the outputs; none for a score, for answers and for choices.
        problem_type: Hugging Face's name of the kind of classification.
        record: the classes that made it, and what else its training has found.
        state: the parameters, where the model itself holds only a rank's part of them.
        tokenizer_files: of the folder that the tokenizer was read from, which are written as they are.
    """
    state = portable(model.state_dict() if state is None else state)
    state = {name: tensor for name, tensor in state.items() if name.partition(".")[0] != TRAINING_ONLY}
    family = architecture_of(model)
    names = family.names(model.config)
    rate = model.adaptation.classifier_dropout
    settings: dict[str, Any] = {} if rate is None else {"classifier_dropout": rate}  # which some classes want a number
    if model.is_published and head in family.heads:
        settings["architectures"] = [family.class_of(head)]
        settings["problem_type"] = problem_type
        if head not in FIXED_OUTPUTS:
            classes = list(labels) or ["LABEL_0"]
            settings["id2label"] = dict(enumerate(classes))
            settings["label2id"] = {name: number for number, name in enumerate(classes)}
        theirs = names.to_hugging_face(state, head=head)
        settings |= cross_encoder_settings(record)
        files = {**(tokenizer_files or {}), **cross_encoder_files(record), RECORD: record.as_bytes()}
        tokens = _length(record) if is_cross_encoder(record) else None
        write_folder(folder, tokenizer, model.config, theirs, settings, files, tokenizer_settings=tokens)
        return
    settings["architectures"] = [family.class_of("encoder")]
    own = OwnHead(name=head, labels=list(labels), problem_type=problem_type, adaptation=model.adaptation)
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    files = {**(tokenizer_files or {}), RECORD: dataclasses.replace(record, head=own).as_bytes()}
    if own_state := {name: tensor for name, tensor in state.items() if name not in encoder}:
        files[HEAD] = save(own_state)
    tokens = None
    if head == "embedding":
        files |= embedding_files(model.adaptation, state, model.config.hidden_size, record)
        tokens = _length(record)
    write_folder(
        folder, tokenizer, model.config, names.to_hugging_face(encoder), settings, files, tokenizer_settings=tokens
    )


def _length(record: Record) -> dict[str, Any] | None:
    """What the tokenizer says of the longest sequence, to sentence-transformers."""
    length = (record.features.arguments or {}).get("max_length")
    return None if length is None else {"model_max_length": length}
