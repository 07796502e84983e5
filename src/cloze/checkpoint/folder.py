"""The model folder in the ecosystem's format: Hugging Face's BERT layout, written and read without ``transformers``.

``config.json``, ``model.safetensors``, ``vocab.txt``, ``tokenizer.json``, ``tokenizer_config.json``.
"""

import dataclasses
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.names import from_hugging_face, present_spelling, to_hugging_face
from cloze.errors import InputError
from cloze.model.config import BertConfig
from cloze.model.heads import BertForPreTraining
from cloze.text.tokenizer import save_tokenizer

CONFIG, WEIGHTS, PICKLED_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
SUPPORTED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
"""Settings of Hugging Face's BERT with the one value that this encoder knows; all but the first may be left out."""


def save_pretrained(model: BertForPreTraining, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model folder of an encoder with both pre-training heads.

    Args:
        model: saved in fp32.
        tokenizer: saved with it.
        folder: replaced if it exists.
    """
    theirs = to_hugging_face(portable(model.state_dict()))
    write_folder(folder, tokenizer, model.config, theirs, {"architectures": ["BertForPreTraining"]})


def load_pretrained(folder: Path) -> BertForPreTraining:
    """Read a model folder that holds both pre-training heads.

    Raises:
        InputError: a file is missing or unreadable, the model is no BERT, a tensor is missing or of another shape.
    """
    contents = read_folder(folder)
    model = BertForPreTraining(contents.config)
    model.load_state_dict(contents.state(required=""))
    return model


def portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters in fp32 on the CPU."""
    return {name: tensor.detach().float().cpu() for name, tensor in state.items()}


def write_folder(
    folder: Path,
    tokenizer: Tokenizer,
    config: BertConfig,
    theirs: dict[str, Tensor],
    settings: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model folder beside its place and rename it, so that no reader ever sees half of one.

    Args:
        folder: replaced if it exists.
        tokenizer: saved with it.
        config: the shape of the encoder.
        theirs: the parameters under Hugging Face's names.
        settings: of ``config.json``, beyond the shape.
        files: others that belong to it.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    beside.mkdir(parents=True)
    save_file(theirs, beside / WEIGHTS, metadata={"format": "pt"})
    whole: dict[str, Any] = {
        **SUPPORTED,
        **dataclasses.asdict(config),
        "pad_token_id": tokenizer.token_to_id("[PAD]"),
        "tie_word_embeddings": True,
        "dtype": "float32",
        **settings,
    }
    (beside / CONFIG).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    save_tokenizer(tokenizer, beside)
    for name, content in (files or {}).items():
        (beside / name).write_bytes(content)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)


class Contents(NamedTuple):
    """What a model folder says: ``config.json`` whole, the shape in it, and the parameters under their names."""

    settings: dict[str, Any]
    config: BertConfig
    theirs: dict[str, Tensor]
    weights: Path

    def state(self, *, required: str) -> dict[str, Tensor]:
        """The parameters of a ``BertForPreTraining`` that are there, in fp32 under our names.

        Args:
            required: those whose names begin so must be there.

        Raises:
            InputError: one is missing, or has another shape than ``config.json`` says.
        """
        with torch.device("meta"):
            expected = BertForPreTraining(self.config).state_dict()
        state = {}
        for name, like in expected.items():
            try:
                tensor = from_hugging_face(self.theirs, [name])[name]
            except KeyError as error:
                if not name.startswith(required):
                    continue
                part = f"the {required.rstrip('.')}" if required else "BertForPreTraining"
                raise InputError(f"{self.weights} lacks {error}: expected every tensor of {part}") from error
            if tensor.shape != like.shape:
                raise InputError(
                    f"{self.weights}: {name} has shape {tuple(tensor.shape)}, but config.json says "
                    f"{tuple(like.shape)}; the two files do not belong together"
                )
            state[name] = tensor.float()
        return state


def read_folder(folder: Path) -> Contents:
    """Any BERT folder that ``transformers`` has written.

    Raises:
        InputError: a file is missing or unreadable, or it is not this kind of encoder.
    """
    file = folder / CONFIG
    settings = read_json(file)
    for key, value in SUPPORTED.items():
        given = settings.get(key, None if key == "model_type" else value)
        if given != value:
            raise InputError(f"{file}: {key} is {given!r}, but only {value!r} is read")
    fields = {field.name for field in dataclasses.fields(BertConfig)}
    try:
        config = BertConfig(**{name: value for name, value in settings.items() if name in fields})
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} describes no encoder: {error}") from error
    weights = folder / WEIGHTS
    if not weights.is_file() and (folder / PICKLED_WEIGHTS).is_file():
        weights = folder / PICKLED_WEIGHTS
    return Contents(settings, config, present_spelling(read_tensors(weights)), weights)


def read_json(file: Path) -> dict[str, Any]:
    """A file of a model folder that holds one JSON object.

    Raises:
        InputError: it does not, or is missing.
    """
    _check_presence(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(file, error) from error
    if not isinstance(content, dict):
        raise _damaged(file, "no JSON object")
    return content


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of an older ``.bin``, of which no code is ever run.

    Raises:
        InputError: it is missing or damaged.
    """
    _check_presence(file)
    try:
        if file.suffix == ".bin":
            return torch.load(file, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
        return load_file(file)  # type: ignore[no-any-return]
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise _damaged(file, error) from error


def _check_presence(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file} is missing: a model folder holds {CONFIG} and {WEIGHTS}")


def _damaged(file: Path, why: object) -> InputError:
    return InputError(f"{file} is damaged ({why}); copy the model folder again")
