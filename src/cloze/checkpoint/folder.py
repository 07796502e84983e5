"""Read and write model folders in Hugging Face's layout, without ``transformers``.

``config.json``, ``model.safetensors``, ``vocab.txt``, ``tokenizer.json``, ``tokenizer_config.json``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.google import is_google_folder, read_google
from cloze.checkpoint.hub import local_folder
from cloze.checkpoint.record import HEAD, RECORD, Record
from cloze.checkpoint.weights import CONFIG, read_json, read_weights
from cloze.checkpoint.writing import Model, write_folder
from cloze.errors import InputError
from cloze.model.architecture import Architecture, Head, architecture_of, stated_architecture
from cloze.model.config import EncoderConfig
from cloze.model.electra import DiscriminatorHead
from cloze.model.encoder import TRAINING_ONLY, EncoderWithHeads
from cloze.model.families.bert import BERT
from cloze.model.replaced_tokens import narrowed
from cloze.model.task_heads import TASK_MODELS
from cloze.model.tensor_names import TensorNames

GOOGLE_CONFIG = "bert_config.json"
GENERATOR = "generator"
"""The part of a model that detects replaced tokens, and the folder of it within that of the discriminator."""


HEADS: dict[frozenset[str], Head] = {
    frozenset({"masked_lm_head", "next_sentence_head"}): "pretraining",
    frozenset({"masked_lm_head"}): "masked_lm",
    frozenset({"next_sentence_head"}): "next_sentence",
    frozenset({"discriminator_head"}): "pretraining",
}
"""By their parts."""
UNMADE = Record()
"""Of a model that no module has trained."""


def head_of_parts(parts: Iterable[str]) -> Head:
    """The head of pre-training that consists of these parts of a model."""
    return HEADS.get(frozenset().union(*HEADS) & {*parts}, "encoder")


def published_parts(config: EncoderConfig, state: Mapping[str, Tensor]) -> set[str]:
    """The parts of a pre-training model, by our names, that Hugging Face's class has just so; others are its own.

    Raises:
        ValueError: the encoder is not of this shape.
    """
    record = architecture_of(config)
    there, known = _by_part(state), _by_part(_published(record, config))
    found = {part for part, tensors in there.items() if tensors == known.get(part) and part not in record.own_parts}
    if "encoder" not in found:
        raise ValueError("its encoder is not of the shape that its configuration says")
    return found


def published_head(config: EncoderConfig, state: Mapping[str, Tensor]) -> Head:
    """The head of Hugging Face's class of which such a model becomes the folder."""
    return head_of_parts(published_parts(config, state))


def _published(record: Architecture[Any], config: EncoderConfig) -> dict[str, Tensor]:
    """The parameters that pre-training models may have in Hugging Face's classes, by our names; without values."""
    with torch.device("meta"):
        known = record.pretraining(config).state_dict()
        if record.detects:
            head = DiscriminatorHead(config).state_dict()
            known |= {f"discriminator_head.{name}": tensor for name, tensor in head.items()}
    return known


def _by_part(state: Mapping[str, Tensor]) -> dict[str, dict[str, torch.Size]]:
    found: dict[str, dict[str, torch.Size]] = {}
    for name, tensor in state.items():
        found.setdefault(name.partition(".")[0], {})[name] = tensor.shape
    return found


def save_pretrained(
    model: EncoderWithHeads,
    tokenizer: Tokenizer,
    folder: Path,
    state: Mapping[str, Tensor] | None = None,
    *,
    tokenizer_files: Mapping[str, bytes] | None = None,
    record: Record = UNMADE,
) -> None:
    """Write the model folder of an encoder with the heads of its pre-training.

    Heads that no class of Hugging Face's has are written next to the others, into ``head.safetensors`` under our names.

    Args:
        model: saved in fp32.
        tokenizer: saved with it.
        folder: replaced if it exists.
        state: the parameters, where the model itself holds only a rank's part of them.
        tokenizer_files: of the folder that the tokenizer was read from, which are written as they are.
        record: what made the model.
    """
    state = model.state_dict() if state is None else state
    save_state(model.config, state, tokenizer, folder, tokenizer_files=tokenizer_files, record=record)


def save_state(
    config: EncoderConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    tokenizer_files: Mapping[str, bytes] | None = None,
    record: Record = UNMADE,
) -> None:
    """``save_pretrained`` of the parameters of a model; those that only training reads stay out.

    Raises:
        ValueError: they are of another shape than ``config`` says.
    """
    state = {name: tensor for name, tensor in state.items() if name.partition(".")[0] != TRAINING_ONLY}
    family, published = architecture_of(config), published_parts(config, state)
    state = portable(state)
    own = {name: tensor.contiguous() for name, tensor in state.items() if name.partition(".")[0] not in published}
    theirs = family.names(config).to_hugging_face({name: tensor for name, tensor in state.items() if name not in own})
    settings = {"architectures": [family.class_of(head_of_parts(published))]}
    files = dict(tokenizer_files or {})
    inner = {}
    if family.detects and any(name.startswith(f"{GENERATOR}.") for name in own):
        inner[GENERATOR] = _generator(config, state)
        own = {name: tensor for name, tensor in own.items() if not name.startswith(f"{GENERATOR}.")}
    if record.module.target is not None:
        files[RECORD] = record.as_bytes()
    if own:
        files[HEAD] = save(own)
    write_folder(folder, tokenizer, config, theirs, settings, files, inner)


def _generator(config: EncoderConfig, state: Mapping[str, Tensor]) -> Model:
    """The generator of a model that detects replaced tokens, on the embeddings that it shares."""
    own = {name.removeprefix(f"{GENERATOR}."): tensor for name, tensor in state.items() if name.startswith(GENERATOR)}
    shape = narrowed(
        config,
        hidden_size=own["masked_lm_head.dense.weight"].shape[1],
        intermediate_size=own["encoder.blocks.0.feed_forward.intermediate.weight"].shape[0],
        num_hidden_layers=len({name.split(".")[2] for name in own if name.startswith("encoder.blocks.")}),
    )
    own |= {name: tensor for name, tensor in state.items() if name.startswith("encoder.embeddings.")}
    family = architecture_of(shape)
    return Model(shape, family.names(shape).to_hugging_face(own), {"architectures": [family.class_of("masked_lm")]})


def load_pretrained(folder: Path) -> EncoderWithHeads:
    """Read a model folder that holds both pre-training heads.

    Raises:
        InputError: a file is missing or unreadable, the model is no BERT, a tensor is missing or of another shape.
    """
    contents = read_folder(folder)
    model = contents.architecture.pretraining(contents.config)
    model.load_state_dict(contents.state(required=""))
    return model


def portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters in fp32 on the CPU."""
    return {name: tensor.detach().float().cpu() for name, tensor in state.items()}


class Contents(NamedTuple):
    """What a model folder says: its configuration whole, the shape in it, and the parameters under their names.

    Attributes:
        settings: of ``config.json``, or of Google's ``bert_config.json`` in the same keys.
        config: the shape of the encoder.
        theirs: parameters under Hugging Face's present names.
        weights: the file that they are from.
        folder: where all of it was read; for a model of the hub, in its cache.
        tokenizer: the folder of the vocabulary.
        skipped: tensors that a training left there, as an optimizer's.
        is_google: whether it is a checkpoint of TensorFlow.
    """

    settings: dict[str, Any]
    config: EncoderConfig
    theirs: dict[str, Tensor]
    weights: Path
    folder: Path
    tokenizer: Path
    skipped: int = 0
    is_google: bool = False

    @property
    def architecture(self) -> Architecture[Any]:
        """The record of the encoder."""
        return architecture_of(self.config)

    @property
    def head(self) -> Head | None:
        """That of the class that the folder names; None where it names none, or one that is not read."""
        named = next(iter(self.settings.get("architectures") or []), None)
        return None if named is None else self.architecture.head_of(named)

    @property
    def names(self) -> TensorNames:
        """Of its tensors."""
        return self.architecture.names(self.config)

    @property
    def unknown(self) -> list[str]:
        """Tensors that belong to none of the models."""
        return [name for name in self.theirs if not self.names.is_known(name)]

    def state(self, *, required: str) -> dict[str, Tensor]:
        """The parameters of a ``BertForPreTraining`` that are there, in fp32 under our names.

        A head is taken as a whole or not at all. That of the masked language model is left out where its decoder is
        not tied to the word embeddings: it would be another function.

        Args:
            required: those whose names begin so must be there.

        Raises:
            InputError: one is missing, or has another shape than ``config.json`` says.
        """
        expected, names = _published(self.architecture, self.config), self.names
        absent_parts = set(self.architecture.own_parts)
        if f"{names.decoder}.weight" in self.theirs or (self.head in TASK_MODELS and self.architecture.token_head):
            absent_parts.add("masked_lm_head")  # its decoder is not tied, or its transform is that of a task
        state: dict[str, Tensor] = {}
        absent: dict[str, str] = {}
        for name, like in expected.items():
            part = name.partition(".")[0]
            if part in absent_parts:
                continue
            try:
                tensor = names.from_hugging_face(self.theirs, [name])[name]
            except KeyError as error:
                absent.setdefault(part if not name.startswith(required) else required.rstrip("."), str(error))
                continue
            if tensor.shape != like.shape:
                raise InputError(
                    f"{self.weights}: {name} has shape {tuple(tensor.shape)}, but config.json says "
                    f"{tuple(like.shape)}; the two files do not belong together"
                )
            state[name] = tensor.float()
        there = {name.partition(".")[0] for name in state}
        for part, name in absent.items():
            if part == required.rstrip(".") or part in there:
                raise InputError(
                    f"{self.weights} has no {name}: expected every tensor of "
                    f"{f'the {part}' if part else self.architecture.class_of('pretraining')}"
                )
        return state


def read_folder(folder: Path | str) -> Contents:
    """Any BERT: a folder that ``transformers`` has written, a checkpoint of Google's, or a model of the hub.

    Args:
        folder: the folder, or a name of the hub as ``local_folder`` takes it.

    Raises:
        InputError: a file is missing or unreadable, or it is not this kind of encoder.
    """
    folder = local_folder(folder)
    if is_google_folder(folder):
        google = read_google(folder)
        config = BERT.read_config(google.settings, google.index.parent / GOOGLE_CONFIG)
        return Contents(
            google.settings, config, google.theirs, google.index, folder, google.vocab.parent, google.skipped, True
        )
    file = folder / CONFIG
    if not file.is_file() and (folder / GOOGLE_CONFIG).is_file():  # as the first conversions to PyTorch had it
        file = folder / GOOGLE_CONFIG
    settings = read_json(file)
    record = stated_architecture(settings, file)
    config = record.read_config(settings, file)
    tensors, weights = read_weights(folder)
    try:
        theirs = record.names(config).present_spelling(tensors)
    except ValueError as error:
        raise InputError(f"{weights} {error}") from error
    return Contents(settings, config, theirs, weights, folder, folder)
