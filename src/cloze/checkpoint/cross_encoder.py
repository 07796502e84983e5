"""What the folder of a re-ranker says to `CrossEncoder` of sentence-transformers, and what one of its folders says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloze.checkpoint.record import Made, Record
from cloze.checkpoint.sentence_transformers import PROMPTS, max_length_of
from cloze.checkpoint.weights import CONFIG, read_json
from cloze.errors import InputError

RERANKING, FEATURES = "cloze.tasks.reranking.Reranking", "cloze.data.finetuning.reranking.RerankingFeatures"
KEY, EARLIER_KEY = "sentence_transformers", "sbert_ce_default_activation_function"
"""Of ``config.json``: of versions 4 and 5, and of earlier ones. Version 6 has a file of its own."""
ACTIVATIONS = {
    "identity": ("torch.nn.modules.linear.Identity", "torch.nn.Identity"),
    "sigmoid": ("torch.nn.modules.activation.Sigmoid", "torch.nn.Sigmoid"),
}
"""The import paths in use; the first one is written."""
TYPE = "CrossEncoder"


def is_cross_encoder(record: Record) -> bool:
    """Whether a model was made by re-ranking."""
    return record.module.target == RERANKING


def cross_encoder_settings(record: Record) -> dict[str, Any]:
    """What ``config.json`` says of a re-ranker, for versions 4 and 5; nothing of another model."""
    if not is_cross_encoder(record):
        return {}
    return {KEY: {"activation_fn": _activation(record), "version": "4.1.0"}}


def cross_encoder_files(record: Record) -> dict[str, bytes]:
    """The files next to a re-ranker, for version 6; none of another model."""
    if not is_cross_encoder(record):
        return {}
    said: dict[str, Any] = {
        "model_type": TYPE,
        "activation_fn": _activation(record),
        "prompts": {},
        "default_prompt_name": None,
    }
    return {PROMPTS: (json.dumps(said, indent=2) + "\n").encode()}


def read_cross_encoder(folder: Path, settings: Mapping[str, Any], positions: int) -> Record | None:
    """What made a model with one output, where sentence-transformers has written it as a `CrossEncoder`; else None.

    Args:
        folder: of the model.
        settings: of its ``config.json``.
        positions: that the encoder has.

    Raises:
        InputError: it has an activation or a prompt that is not read.
    """
    said = read_json(folder / PROMPTS) if (folder / PROMPTS).is_file() else {}
    is_one = said.get("model_type") == TYPE
    own = settings.get(KEY)
    if not is_one and not isinstance(own, dict) and EARLIER_KEY not in settings:
        return None
    stated = said.get("activation_fn") or (own or {}).get("activation_fn") or settings.get(EARLIER_KEY)
    activation = next((name for name, paths in ACTIVATIONS.items() if stated in paths), None)
    if stated is None:
        activation = "sigmoid"  # of one output
    if activation is None:
        file = PROMPTS if said.get("activation_fn") else CONFIG
        raise InputError(
            f"{folder / file}: the activation is {stated!r:.80}, but only {' and '.join(ACTIVATIONS)} of torch are read"
        )
    if (default := said.get("default_prompt_name")) and (said.get("prompts") or {}).get(default):
        raise InputError(f"{folder / PROMPTS}: the default prompt {default!r} of a re-ranker is not read; remove it")
    return Record(
        module=Made(target=RERANKING, arguments={"activation": activation}),
        features=Made(target=FEATURES, arguments={"max_length": max_length_of(folder, positions)}),
    )


def _activation(record: Record) -> str:
    return ACTIVATIONS[(record.module.arguments or {}).get("activation") or "identity"][0]
