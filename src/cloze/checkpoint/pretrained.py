"""Load any BERT folder: its encoder, tokenizer and head."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.cross_encoder import read_cross_encoder
from cloze.checkpoint.folder import GENERATOR, Contents, read_folder
from cloze.checkpoint.hub import local_folder
from cloze.checkpoint.record import HEAD, RECORD, OwnHead, Record, is_number, read_record
from cloze.checkpoint.sentence_transformers import read_embedding
from cloze.checkpoint.weights import CONFIG, read_tensors
from cloze.errors import InputError
from cloze.files import layout
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.task_heads import TASK_MODELS
from cloze.runtime.wording import counted
from cloze.text.special_tokens import SpecialTokens, special_tokens
from cloze.text.tokenizer import FolderTokenizer, read_tokenizer

FIXED_OUTPUTS: dict[Head, int] = {"question_answering": 2, "multiple_choice": 1}
"""Outputs of the classifiers that do not depend on labels."""

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")
"""Hugging Face's kinds of classification."""

PAIRS = "next_sentence_head"
PARTS = ("encoder", "pooler", "masked_lm_head", PAIRS, "discriminator_head")
"""Of models that Hugging Face has a class for, before a task."""

ROUNDING = 128
"""Embeddings without a token that a model may have fewer than: their number is often rounded up to a multiple of 64."""


State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What fine-tuning, evaluation and prediction begin with.

    Attributes:
        config: the shape of the encoder.
        tokenizer: its own, which neither truncates nor pads.
        tokenizer_files: those of the folder, which are written back as they are with the model; by name.
        state: parameters under our names: of the encoder, and of what else the folder holds. None: a random encoder.
        head: that the folder was saved with; None where it does not say.
        labels: of the task that it was saved for; none for one score, for answers and for choices.
        problem_type: ``single_label_classification``, ``multi_label_classification`` or ``regression``, where told.
        classifier_dropout: the model's own.
        adaptation: how outputs come from the encoder, where the folder was saved for a task.
        record: the classes that made it, with their arguments, and what else its training has found.
        own_heads: of a pre-training, under our names: those that no class of Hugging Face's has.
        folder: where it was read.
    """

    config: EncoderConfig
    tokenizer: Tokenizer
    tokenizer_files: Mapping[str, bytes] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    head: Head | None = None
    labels: list[str] | None = None
    problem_type: str | None = None
    classifier_dropout: float | None = None
    adaptation: Adaptation = field(default_factory=Adaptation)
    record: Record = field(default_factory=Record)
    own_heads: Mapping[str, Tensor] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def special(self) -> SpecialTokens:
        """The special tokens of the tokenizer, by what they are for."""
        return special_tokens(self.tokenizer, self.tokenizer_files)

    @property
    def parts(self) -> tuple[str, ...]:
        """What the folder holds: of ``PARTS``, and of a task the ``classifier``."""
        there = {name.partition(".")[0] for name in self.state}
        return tuple(part for part in (*PARTS, "classifier") if part in there)

    @property
    def absent(self) -> tuple[str, ...]:
        """The parts of a pre-training model that the folder does not hold."""
        known = ("encoder", "masked_lm_head", *architecture_of(self.config).pair_parts)
        return tuple(part for part in PARTS if part in known and part not in self.parts)

    def class_of(self, head: Head | None) -> str:
        """What to call a model with this encoder and a head: Hugging Face's class, or where it has none both names."""
        record = architecture_of(self.config)
        if head is None:
            return record.title
        return record.class_of(head) if head in record.heads else f"{record.title} with {head}"

    @property
    def kind(self) -> str:
        """Hugging Face's class of what the folder holds: 'BertForMaskedLM', or only 'BERT'."""
        return self.class_of(self.head)

    @property
    def title(self) -> str:
        """The same in a sentence: 'BERT without a head'."""
        return self.kind if self.head else f"{self.kind} without a head"

    def told(self) -> str:
        """One line: 'BertForMaskedLM: encoder, masked_lm_head; no pooler, no next_sentence_head'."""
        absent = "".join(f"{', ' if number else '; '}no {part}" for number, part in enumerate(self.absent))
        own = dict.fromkeys(name.partition(".")[0] for name in self.own_heads)
        return f"{self.kind}: {', '.join([*self.parts, *own]) or 'no weights'}{absent}"


def read_pretrained(folder: Path | str) -> Pretrained:
    """Any BERT: a folder that ``transformers`` or ``save_task_model`` has written, Google's, or a model of the hub.

    Args:
        folder: the folder, that of a run with a model in it, or a name of the hub as
            ``cloze.checkpoint.hub.local_folder`` takes it.

    Raises:
        InputError: a file is missing or damaged, the encoder is of another kind, the tokenizer is that of another one.
    """
    return pretrained_of(read_folder(_model_of(folder)))


def pretraining_record(folder: Path | str) -> Record:
    """What made the model of a folder as ``read_pretrained`` takes it, where it has been recorded.

    Raises:
        InputError: there is no such folder, or the record is damaged.
    """
    there = local_folder(_model_of(folder))
    return read_record(there, {}) if (there / RECORD).is_file() else Record()


def _model_of(folder: Path | str) -> Path | str:
    inside = Path(folder) / layout.MODEL
    in_run = not (Path(folder) / CONFIG).is_file() and (inside / CONFIG).is_file()
    return inside if in_run else folder


def pretrained_of(contents: Contents) -> Pretrained:
    """What ``read_pretrained`` says, of a folder that has been read.

    Raises:
        InputError: the head is not as the configuration says, or the tokenizer is that of another model.
    """
    folder = contents.folder
    _check_settings(contents.settings, folder)
    record = read_record(folder, contents.settings)
    tokenizer, files = read_tokenizer(contents.tokenizer)
    _check_vocabulary(tokenizer, contents.config, folder)
    own = read_tensors(folder / HEAD) if record.head is None and (folder / HEAD).is_file() else {}
    head = _published_head(contents, folder) if record.head is None else _own_head(contents, folder, record.head)
    positions = contents.config.max_position_embeddings
    found = read_embedding(folder, positions) if record.head is None else None
    if found is not None and head["head"] in (None, "encoder", "masked_lm"):
        head |= {"head": "embedding", "labels": [], "adaptation": found.adaptation}
        head["state"] |= found.state
        record = found.record
    if head["head"] == "sequence_classification" and not head["labels"] and not (folder / RECORD).is_file():
        record = read_cross_encoder(folder, contents.settings, positions) or record
    for name in [name for name in own if name.partition(".")[0] in contents.architecture.own_parts]:
        head["state"][name] = own.pop(name)
    if (folder / GENERATOR / CONFIG).is_file():
        own |= _generator(contents)
    if record.without_pairs:  # in whose training the head of pairs stayed as it was
        head["state"] = {name: value for name, value in head["state"].items() if not name.startswith(f"{PAIRS}.")}
    return Pretrained(
        config=contents.config,
        tokenizer=tokenizer,
        tokenizer_files=files,
        classifier_dropout=contents.settings.get("classifier_dropout"),
        record=record,
        own_heads=own,
        folder=folder,
        **head,
    )


def _generator(contents: Contents) -> State:
    """The parameters, under our names, of the generator within the folder of a discriminator.

    Raises:
        InputError: it is none, or of another discriminator.
    """
    found = read_folder(contents.folder / GENERATOR)
    state, words = found.state(required="encoder."), f"{contents.names.base}.{contents.names.words}"
    mine, its = (each.theirs.get(words) for each in (contents, found))
    if found.architecture is not contents.architecture or mine is None or its is None or not torch.equal(mine, its):
        raise InputError(
            f"{found.folder} is no generator of the model in {contents.folder}: they have not the same embeddings; put "
            "the one there that was trained with it, or remove it"
        )
    return {
        f"{GENERATOR}.{name}": tensor for name, tensor in state.items() if not name.startswith("encoder.embeddings.")
    }


def _check_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """What of ``config.json`` is neither the shape nor the labels.

    Raises:
        InputError: a value is none that its key may have.
    """
    dropout, kind = settings.get("classifier_dropout"), settings.get("problem_type")
    if dropout is not None and not (is_number(dropout) and 0 <= dropout < 1):
        raise InputError(f"{folder / CONFIG}: classifier_dropout is {dropout!r}, but must be null or from 0 to below 1")
    if kind not in (None, *PROBLEMS):
        raise InputError(
            f"{folder / CONFIG}: problem_type is {kind!r}, but must be null or one of {', '.join(PROBLEMS)}"
        )


def _check_vocabulary(tokenizer: Tokenizer, config: EncoderConfig, folder: Path) -> None:
    last = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if last >= config.vocab_size or config.vocab_size - (last + 1) >= ROUNDING:
        only = ("", "only ") if last >= config.vocab_size else (" only", "")
        raise InputError(
            f"{folder}: its tokenizer has ids up to {last:,}{only[0]}, but its model {only[1]}{config.vocab_size:,} "
            "embeddings; put the tokenizer of this model there"
        )
    if config.type_vocab_size > 1 and not FolderTokenizer(tokenizer, {}).has_segments:
        raise InputError(
            f"{folder}: its tokenizer gives both texts of a pair the segment 0, but its model has "
            f"{config.type_vocab_size}; set type_id to 1 for B in the post_processor of tokenizer.json"
        )


def _published_head(contents: Contents, folder: Path) -> dict[str, Any]:
    """What a folder of a class of Hugging Face's says beyond the encoder."""
    settings, state = contents.settings, contents.state(required="encoder.")
    named = next(iter(settings.get("architectures") or []), None)
    family = contents.architecture
    head = contents.head
    told: dict[str, Any] = {"state": state, "head": head}
    if named is not None and head is None:
        tasks = (family.class_of(task) for task in TASK_MODELS if task in family.heads)
        raise InputError(
            f"{folder / 'config.json'}: architectures is {named!r}, but only {', '.join(tasks)} and "
            f"pre-trained models are read; for its encoder alone, write {family.class_of('encoder')!r} there"
        )
    if head not in TASK_MODELS:
        return told
    for name in ("classifier.weight", "classifier.bias"):
        if name not in contents.theirs:
            raise InputError(f"{contents.weights} has no {name!r}: expected every tensor of {named}")
        state[name] = contents.theirs[name].float()
    outputs, shape = len(state["classifier.bias"]), tuple(state["classifier.weight"].shape)
    if shape != (outputs, contents.config.hidden_size):
        raise InputError(
            f"{contents.weights}: classifier.weight has shape {shape}, but expected "
            f"{(outputs, contents.config.hidden_size)}; the files do not belong together"
        )
    state |= _before_the_classifier(contents, head, outputs, state)
    if outputs != FIXED_OUTPUTS.get(head, outputs):
        raise InputError(
            f"{contents.weights}: the classifier of {named} has {outputs} outputs, but expected {FIXED_OUTPUTS[head]}"
        )
    told["problem_type"] = settings.get("problem_type")
    if head == "sequence_classification" and outputs == 1:
        if told["problem_type"] == "single_label_classification":
            raise InputError(
                f"{folder / CONFIG}: problem_type is single_label_classification, but the classifier has one output: "
                "for a score, write 'regression' there"
            )
        told["problem_type"] = told["problem_type"] or "regression"  # as transformers takes it
    unnamed = head in FIXED_OUTPUTS or (outputs == 1 and told["problem_type"] == "regression")
    told["labels"] = [] if unnamed else _labels(settings, outputs, folder)
    return told


def _before_the_classifier(contents: Contents, head: Head, outputs: int, known: Mapping[str, Tensor]) -> State:
    """What a head has between encoder and classifier, of which a pre-trained model has nothing; as much as is there."""
    with torch.device("meta"):
        own = TASK_MODELS[head](contents.config, outputs, Adaptation()).state_dict()
    found: State = {}
    for name, like in own.items():
        if name in known or name.startswith("encoder."):
            continue
        with suppress(KeyError):
            found |= contents.names.from_hugging_face(contents.theirs, [name])
            if found[name].shape != like.shape:
                raise InputError(
                    f"{contents.weights}: {name} has shape {tuple(found[name].shape)}, but expected "
                    f"{tuple(like.shape)}; the files do not belong together"
                )
    return {name: tensor.float() for name, tensor in found.items()}


def _labels(settings: Mapping[str, Any], outputs: int, folder: Path) -> list[str]:
    stated = settings.get("id2label") or {}
    try:
        names = {int(number): str(name) for number, name in stated.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{folder / CONFIG}: id2label is {stated!r:.60}, but must name a label for each number"
        ) from None
    if len({*names.values()}) < len(names):
        twice = next(name for name in names.values() if [*names.values()].count(name) > 1)
        raise InputError(f"{folder / CONFIG}: id2label has {twice!r} twice: give each label a name of its own")
    if not names:  # left out by transformers where they are only numbered
        return [f"LABEL_{number}" for number in range(outputs)]
    if sorted(names) != list(range(outputs)):
        raise InputError(
            f"{folder / 'config.json'}: id2label has {counted(len(names), 'labels')}, but the classifier "
            f"{outputs} outputs; the files do not belong together"
        )
    return [names[number] for number in range(outputs)]


def _own_head(contents: Contents, folder: Path, head: OwnHead) -> dict[str, Any]:
    """What a folder says whose head has no class of Hugging Face's."""
    state = contents.state(required="encoder.")
    if (folder / HEAD).is_file() or head.name != "embedding" or head.adaptation.dense is not None:
        state |= read_tensors(folder / HEAD)
    return {
        "head": head.name,
        "labels": head.labels,
        "problem_type": head.problem_type,
        "adaptation": head.adaptation,
        "state": state,
    }
