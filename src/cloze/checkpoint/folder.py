"""The model folder in the ecosystem's format: Hugging Face's BERT layout, written and read without ``transformers``.

``config.json``, ``model.safetensors``, ``vocab.txt``, ``tokenizer.json``, ``tokenizer_config.json``.
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from cloze.checkpoint.names import from_hugging_face, to_hugging_face
from cloze.errors import InputError
from cloze.model.config import BertConfig
from cloze.model.heads import BertForPreTraining
from cloze.text.tokenizer import save_tokenizer


def save_pretrained(model: BertForPreTraining, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model folder beside its place and rename it, so that no reader ever sees half of one.

    Args:
        model: the encoder with both heads; saved in fp32.
        tokenizer: saved with it.
        folder: replaced if it exists.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    beside.mkdir(parents=True)
    state = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    save_file(to_hugging_face(state), beside / "model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        **dataclasses.asdict(model.config),
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": tokenizer.token_to_id("[PAD]"),
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    (beside / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_tokenizer(tokenizer, beside)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)


def load_pretrained(folder: Path) -> BertForPreTraining:
    """Read a model folder that holds both pre-training heads.

    Raises:
        InputError: a file is missing or unreadable, the model is no BERT, a tensor is missing or of another shape.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing: a model folder holds config.json and model.safetensors")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        theirs = load_file(folder / "model.safetensors")
    except (json.JSONDecodeError, SafetensorError) as error:
        raise InputError(f"{folder} holds a damaged file: {error}; copy the model folder again") from error
    model = BertForPreTraining(_read_config(config, folder / "config.json"))
    try:
        state = from_hugging_face(theirs, list(model.state_dict()))
    except KeyError as error:
        raise InputError(
            f"{folder / 'model.safetensors'} lacks {error}: expected every tensor of BertForPreTraining"
        ) from error
    for name, tensor in model.state_dict().items():
        if state[name].shape != tensor.shape:
            raise InputError(
                f"{folder / 'model.safetensors'}: {name} has shape {tuple(state[name].shape)}, but config.json says "
                f"{tuple(tensor.shape)}; the two files do not belong together"
            )
    model.load_state_dict(state)
    return model


def _read_config(config: dict[str, Any], path: Path) -> BertConfig:
    if config.get("model_type") != "bert":
        raise InputError(f"{path}: model_type is {config.get('model_type')!r}, but only 'bert' is read")
    fields = {field.name for field in dataclasses.fields(BertConfig)}
    try:
        return BertConfig(**{name: value for name, value in config.items() if name in fields})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} describes no encoder: {error}") from error
