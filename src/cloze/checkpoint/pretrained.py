"""From the folder of any BERT to the model of a task, and from that to a folder again."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.folder import Contents, portable, read_folder, write_folder
from cloze.checkpoint.names import to_hugging_face
from cloze.checkpoint.weights import read_json, read_tensors
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.config import BertConfig
from cloze.model.task_heads import ARCHITECTURES, TaskModel
from cloze.text.tokenizer import SPECIAL_TOKENS, load_tokenizer

HEADLESS = (
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertLMHeadModel",
)
"""Hugging Face's classes without the head of a task."""

FIXED_OUTPUTS = {"BertForQuestionAnswering": 2, "BertForMultipleChoice": 1}
"""Outputs of the classifiers that do not depend on labels."""

TASK_STATE = "task_state"
"""A key of ours in ``config.json``, which others keep and do not read."""

PARTS = ("encoder", "pooler", "masked_lm_head", "next_sentence_head")
"""Of a ``BertForPreTraining``."""

ROUNDING = 128
"""Embeddings without a piece that a model may have fewer than: their number is often rounded up to a multiple of 64."""

HEAD, DESCRIPTION = "head.safetensors", "cloze.json"
"""Files beside a bare encoder, for heads that no class of Hugging Face's has."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What fine-tuning, evaluation and prediction begin with.

    Attributes:
        config: the shape of the encoder.
        tokenizer: its own, which neither cuts nor pads.
        state: parameters under our names: of the encoder, and of what else the folder holds. None: a random encoder.
        architecture: the class of Hugging Face's that the folder was saved for.
        labels: of the task that it was saved for; none for a score, for answers and for choices.
        problem_type: ``single_label_classification``, ``multi_label_classification`` or ``regression``, where told.
        classifier_dropout: the model's own.
        adaptation: how outputs come from the encoder, where the folder was saved for a task.
        task_state: what else its task has found, as a threshold.
        folder: where it was read.
    """

    config: BertConfig
    tokenizer: Tokenizer
    state: dict[str, Tensor] = field(default_factory=dict)
    architecture: str | None = None
    labels: list[str] | None = None
    problem_type: str | None = None
    classifier_dropout: float | None = None
    adaptation: Adaptation = field(default_factory=Adaptation)
    task_state: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """What the folder holds: of ``PARTS``, and of a task the ``classifier``."""
        there = {name.partition(".")[0] for name in self.state}
        return tuple(part for part in (*PARTS, "classifier") if part in there)

    @property
    def absent(self) -> tuple[str, ...]:
        """The parts of a ``BertForPreTraining`` that the folder does not hold."""
        return tuple(part for part in PARTS if part not in self.parts)

    def told(self) -> str:
        """One line: 'BertForMaskedLM: encoder, masked_lm_head; no pooler, no next_sentence_head'."""
        absent = "".join(f"{', ' if number else '; '}no {part}" for number, part in enumerate(self.absent))
        return f"{self.architecture or 'BERT'}: {', '.join(self.parts) or 'no weights'}{absent}"


def read_pretrained(folder: Path | str) -> Pretrained:
    """Any BERT: a folder that ``transformers`` or ``save_task_model`` has written, Google's, or a model of the hub.

    Args:
        folder: the folder, or a name of the hub as ``cloze.checkpoint.hub.local_folder`` takes it.

    Raises:
        InputError: a file is missing or damaged, the encoder is of another kind, the tokenizer is that of another one.
    """
    return pretrained_of(read_folder(folder))


def pretrained_of(contents: Contents) -> Pretrained:
    """What ``read_pretrained`` says, of a folder that has been read.

    Raises:
        InputError: the head is not as the configuration says, or the tokenizer is that of another model.
    """
    folder = contents.folder
    tokenizer = load_tokenizer(contents.tokenizer)
    # Folders of sentence encoders carry both, and would cut every text at 128 pieces without a word.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _check_vocabulary(tokenizer, contents.config, folder)
    return Pretrained(
        config=contents.config,
        tokenizer=tokenizer,
        classifier_dropout=contents.settings.get("classifier_dropout"),
        task_state=contents.settings.get(TASK_STATE) or {},
        folder=folder,
        **(_own_head if (folder / DESCRIPTION).is_file() else _published_head)(contents, folder),
    )


def _check_vocabulary(tokenizer: Tokenizer, config: BertConfig, folder: Path) -> None:
    ids = tokenizer.get_vocab(with_added_tokens=True)
    if absent := [token for token in SPECIAL_TOKENS if token not in ids]:
        raise InputError(f"{folder}: its tokenizer has no {', '.join(absent)}; put the one of this BERT there")
    last = max(ids.values())
    if last >= config.vocab_size:
        raise InputError(
            f"{folder}: its tokenizer has ids up to {last:,}, but its model only {config.vocab_size:,} "
            "embeddings; put the tokenizer of this model there"
        )
    if config.vocab_size - (last + 1) >= ROUNDING:
        raise InputError(
            f"{folder}: its tokenizer has ids up to {last:,} only, but its model {config.vocab_size:,} embeddings; "
            "put the tokenizer of this model there"
        )


def _published_head(contents: Contents, folder: Path) -> dict[str, Any]:
    """What a folder of a class of Hugging Face's says beyond the encoder."""
    settings, state = contents.settings, contents.state(required="encoder.")
    architecture = next(iter(settings.get("architectures") or []), None)
    told: dict[str, Any] = {"state": state, "architecture": architecture}
    if architecture in (None, *HEADLESS):
        return told
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{folder / 'config.json'}: architectures is {architecture!r}, but only {', '.join(ARCHITECTURES)} and "
            "pre-trained models are read; for its encoder alone, write 'BertModel' there"
        )
    for name in ("classifier.weight", "classifier.bias"):
        if name not in contents.theirs:
            raise InputError(f"{contents.weights} lacks {name!r}: expected every tensor of {architecture}")
        state[name] = contents.theirs[name].float()
    outputs, shape = len(state["classifier.bias"]), tuple(state["classifier.weight"].shape)
    if shape != (outputs, contents.config.hidden_size):
        raise InputError(
            f"{contents.weights}: classifier.weight has shape {shape}, but expected "
            f"{(outputs, contents.config.hidden_size)}; the files do not belong together"
        )
    if outputs != FIXED_OUTPUTS.get(architecture, outputs):
        raise InputError(
            f"{contents.weights}: the classifier of {architecture} has {outputs} outputs, but expected "
            f"{FIXED_OUTPUTS[architecture]}"
        )
    told["problem_type"] = settings.get("problem_type")
    if architecture == "BertForSequenceClassification" and outputs == 1:  # as transformers takes it
        told["problem_type"] = "regression"
    scores = architecture in FIXED_OUTPUTS or told["problem_type"] == "regression"
    told["labels"] = [] if scores else _labels(settings, outputs, folder)
    return told


def _labels(settings: Mapping[str, Any], outputs: int, folder: Path) -> list[str]:
    names = {int(number): str(name) for number, name in (settings.get("id2label") or {}).items()}
    if not names:  # left out by transformers where they are only numbered
        return [f"LABEL_{number}" for number in range(outputs)]
    if sorted(names) != list(range(outputs)):
        raise InputError(
            f"{folder / 'config.json'}: id2label has {len(names)} labels, but the classifier {outputs} outputs; "
            "the files do not belong together"
        )
    return [names[number] for number in range(outputs)]


def _own_head(contents: Contents, folder: Path) -> dict[str, Any]:
    """What a folder says whose head has no class of Hugging Face's."""
    description = read_json(folder / DESCRIPTION)
    try:
        adaptation = Adaptation(**description["adaptation"])
        told = {name: description[name] for name in ("architecture", "labels", "problem_type")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / DESCRIPTION} is damaged ({error}); copy the model folder again") from error
    state = contents.state(required="encoder.") | read_tensors(folder / HEAD)
    return {**told, "adaptation": adaptation, "state": state}


def task_model(
    architecture: str,
    pretrained: Pretrained,
    *,
    labels: Sequence[str],
    adaptation: Adaptation,
    problem_type: str | None = None,
) -> TaskModel:
    """The model of a task on a pre-trained encoder, or on a random one.

    The head is the folder's where that was saved for the same task with the same labels; else it is drawn anew. Which
    parts were drawn is told by the model's ``drawn``.

    Args:
        architecture: one of ``ARCHITECTURES``.
        pretrained: what to begin with.
        labels: the classes in the order of the outputs; none for a score, for answers and for choices.
        adaptation: what is trained and which vectors the head reads.
        problem_type: Hugging Face's name of the kind of classification.

    Raises:
        InputError: the folder was saved for another architecture, or the adaptation does not fit the encoder.
    """
    if pretrained.architecture in ARCHITECTURES and pretrained.architecture != architecture:
        raise InputError(
            f"{pretrained.folder} was fine-tuned as {pretrained.architecture}, but this task needs {architecture}: "
            "give the pre-trained model, or a task of the same kind"
        )
    if adaptation.classifier_dropout is None:
        adaptation = dataclasses.replace(adaptation, classifier_dropout=pretrained.classifier_dropout)
    outputs = FIXED_OUTPUTS.get(architecture, max(1, len(labels)))
    try:
        model = ARCHITECTURES[architecture](pretrained.config, outputs, adaptation)
    except ValueError as error:
        raise InputError(f"adaptation.{error}") from error
    same_task = (
        pretrained.architecture == architecture
        and pretrained.labels == list(labels)
        and pretrained.problem_type in (None, problem_type)
    )
    state = _kept(model, pretrained, same_task)
    model.load_state_dict(state, strict=False)
    model.drawn = tuple(dict.fromkeys(_part(name) for name in model.state_dict() if name not in state))
    return model


def _part(name: str) -> str:
    """'encoder.blocks.11.attention.output.bias' -> 'encoder.blocks.11', 'pooler.dense.bias' -> 'pooler'."""
    words = name.split(".")
    return ".".join(words[:3]) if words[1] == "blocks" else words[0]


def _kept(model: TaskModel, pretrained: Pretrained, same_task: bool) -> dict[str, Tensor]:
    """The parameters that the model takes over."""
    adaptation, blocks = model.adaptation, model.config.num_hidden_layers
    own = model.state_dict()
    head = [name for name in own if not name.startswith(("encoder.", "pooler."))]
    state = {name: tensor for name, tensor in pretrained.state.items() if name in own}
    same_head = (  # and fed as it was
        same_task
        and adaptation.layers == pretrained.adaptation.layers
        and ("pooler.dense.weight" in own) == ("pooler.dense.weight" in pretrained.state)
        and all(name in state and state[name].shape == own[name].shape for name in head)
    )
    anew = [] if same_head else head
    if adaptation.reinitialized_layers:
        upper = range(blocks - adaptation.reinitialized_layers, blocks)
        anew += ["pooler.", *(f"encoder.blocks.{number}." for number in upper)]
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(anew))}


def save_task_model(
    model: TaskModel,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    architecture: str,
    labels: Sequence[str],
    problem_type: str | None = None,
    task_state: Mapping[str, float] | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the folder of a fine-tuned model, for ``AutoModelFor...``, ``pipeline`` and ``read_pretrained``.

    A model for which Hugging Face has no class becomes the folder of its encoder, a ``BertModel``, with the head in
    ``head.safetensors`` (our names) and what it means in ``cloze.json``.

    Args:
        model: saved in fp32.
        tokenizer: saved with it.
        folder: replaced if it exists.
        architecture: one of ``ARCHITECTURES``.
        labels: the classes in the order of the outputs; none for a score, for answers and for choices.
        problem_type: Hugging Face's name of the kind of classification.
        task_state: what else the task has found.
        state: the parameters, where the model itself holds only a rank's part of them.
    """
    state = portable(model.state_dict() if state is None else state)
    settings: dict[str, Any] = {"classifier_dropout": model.adaptation.classifier_dropout}
    if task_state:
        settings[TASK_STATE] = dict(task_state)
    if model.is_published:
        settings["architectures"] = [architecture]
        settings["problem_type"] = problem_type
        if architecture not in FIXED_OUTPUTS:
            names = list(labels) or ["LABEL_0"]
            settings["id2label"] = dict(enumerate(names))
            settings["label2id"] = {name: number for number, name in enumerate(names)}
        write_folder(folder, tokenizer, model.config, to_hugging_face(state, architecture), settings)
        return
    settings["architectures"] = ["BertModel"]
    description = {
        "architecture": architecture,
        "labels": list(labels),
        "problem_type": problem_type,
        "adaptation": model.adaptation.reading(),
    }
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    files = {
        HEAD: save({name: tensor for name, tensor in state.items() if name not in encoder}),
        DESCRIPTION: (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    write_folder(folder, tokenizer, model.config, to_hugging_face(encoder), settings, files)
