"""Cut an encoder to its first layers."""

from dataclasses import replace
from typing import Any

import torch

from cloze.checkpoint.folder import Contents
from cloze.errors import InputError


def first_layers(contents: Contents, layers: int) -> Contents:
    """A model whose encoder has only its first layers; heads read the last of these.

    Args:
        contents: of its folder.
        layers: how many are kept.

    Raises:
        InputError: the encoder has not so many.
    """
    whole = contents.config
    if not 1 <= layers <= whole.num_hidden_layers:
        raise InputError(f"layers={layers}: must be from 1 to {whole.num_hidden_layers}, those of {contents.folder}")
    changes: dict[str, Any] = {"num_hidden_layers": layers}
    if (kinds := getattr(whole, "layer_types", None)) is not None:
        changes["layer_types"] = kinds[:layers]
    config = replace(whole, **changes)
    stated, before = (contents.architecture.write_config(each) for each in (config, whole))
    settings = {**contents.settings, **{key: value for key, value in stated.items() if before.get(key) != value}}
    with torch.device("meta"):
        tensors = contents.architecture.encoder(whole).state_dict()
    gone = {f"encoder.{name}": each for name, each in tensors.items() if _layer(name) >= layers}
    absent = contents.names.to_hugging_face(gone)
    theirs = {name: tensor for name, tensor in contents.theirs.items() if name not in absent}
    return contents._replace(settings=settings, config=config, theirs=theirs)


def _layer(name: str) -> int:
    """The number of the block that a parameter of an encoder belongs to, from 0; -1 for none."""
    part, _, rest = name.partition(".")
    return int(rest.partition(".")[0]) if part == "blocks" else -1
