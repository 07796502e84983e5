"""Write a model folder in Hugging Face's layout, whatever the heads.

``config.json``, ``model.safetensors``, ``vocab.txt``, ``tokenizer.json``, ``tokenizer_config.json``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.record import HEAD, RECORD
from cloze.checkpoint.weights import CONFIG, TOKENIZER_CONFIG, WEIGHTS
from cloze.files.atomic import under_umask, whole_folder
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.text.special_tokens import SpecialToken, special_tokens
from cloze.text.tokenizer import FolderTokenizer, save_tokenizer


class Model(NamedTuple):
    """What a model is in a folder: the shape, the parameters under Hugging Face's names, and the other settings."""

    config: EncoderConfig
    theirs: dict[str, Tensor]
    settings: Mapping[str, Any]


def write_folder(
    folder: Path,
    tokenizer: Tokenizer,
    config: EncoderConfig,
    theirs: dict[str, Tensor],
    settings: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    inner: Mapping[str, Model] | None = None,
    tokenizer_settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a model folder under a temporary name and rename it, so that no reader ever sees half of one.

    Args:
        folder: replaced if it exists.
        tokenizer: saved with it; for a model of several segments, it gives the second text of a pair one.
        config: the shape of the encoder.
        theirs: the parameters under Hugging Face's names; none for a folder whose weights are in another file.
        settings: of ``config.json``, beyond the shape.
        files: others that belong to it, or stand in the place of those that are made of the tokenizer.
        tokenizer_settings: in place of those in ``tokenizer_config.json``.
        inner: models of the same tokenizer in folders within it, by their names.
    """
    if config.type_vocab_size > 1:
        tokenizer, files = FolderTokenizer(tokenizer, dict(files or {})).with_segments()
    own = {name: content for name, content in (files or {}).items() if name not in (RECORD, HEAD)}
    with whole_folder(folder) as beside:
        _write_model(beside, tokenizer, Model(config, theirs, settings), files or {})
        if tokenizer_settings:
            stated = json.loads((beside / TOKENIZER_CONFIG).read_bytes())
            (beside / TOKENIZER_CONFIG).write_bytes(_json({**stated, **tokenizer_settings}))
        for name, model in (inner or {}).items():
            (beside / name).mkdir()
            _write_model(beside / name, tokenizer, model, own)


def _write_model(folder: Path, tokenizer: Tokenizer, model: Model, files: Mapping[str, bytes]) -> None:
    config, theirs, settings = model
    record, special = architecture_of(config), special_tokens(tokenizer, files)
    whole: dict[str, Any] = {
        **record.write_config(config),
        **{key: _id(getattr(special, role)) for key, role in record.special_ids.items()},
        "tie_word_embeddings": record.names(config).decoder is not None,
        "dtype": "float32",
        **settings,
    }
    if theirs:
        with under_umask(folder / WEIGHTS):
            save_file(theirs, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_bytes(_json(whole))
    save_tokenizer(tokenizer, folder, segments=config.type_vocab_size > 0)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _id(token: SpecialToken | None) -> int | None:
    return None if token is None else token.id
