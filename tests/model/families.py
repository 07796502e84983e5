"""The families of encoders at small sizes; those with rotary positions with their peers in transformers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks.batches import padded
from cloze.batch import PretrainingBatch
from cloze.checkpoint.folder import save_pretrained
from cloze.model.architecture import architecture_of, architectures
from cloze.model.config import EncoderConfig
from cloze.model.modern import ModernBertForPreTraining
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests import tiny
from tests.tiny import shaken

FAMILIES = {kind: record for kind, record in architectures().items() if not kind.startswith("cloze_")}
"""Those with classes in transformers, by their ``model_type``."""
WINDOW = {"local_attention": 8, "global_attn_every_n_layers": 2}
VOCABULARY = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(92))]
LENGTHS = [3, 70, 17, 1, 40, 64, 65, 66, 129]
"""On both sides of the window of 64 tokens, and over a block of them."""
TOLERANCE: dict[str, Any] = {"atol": 1e-4, "rtol": 0}


YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32}
POOLINGS: dict[type[ModernBertConfig], Sequence[Any]] = {
    ModernBertConfig: ("cls", "mean"),
    EuroBertConfig: ("cls", "mean", "late"),
    NomicBertConfig: ("cls",),
}


def tiny_shape(family: str) -> EncoderConfig:
    """That of `tests.tiny`, with short windows where the family has windows."""
    kind = FAMILIES[family].config
    shape: EncoderConfig = kind(vocab_size=len(tiny.VOCABULARY), **tiny.SHAPE)
    is_windowed = {*FAMILIES[family].windows(kind(vocab_size=len(tiny.VOCABULARY)))} != {None}
    return replace(shape, **WINDOW) if is_windowed else shape


def config(family: type[ModernBertConfig] = ModernBertConfig, **changes: Any) -> ModernBertConfig:
    shape: dict[str, Any] = {
        "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 256,
    }  # fmt: skip
    return family(**shape | changes)


def settings(shape: ModernBertConfig) -> dict[str, Any]:
    special = {key: number for number, key in enumerate(architecture_of(shape).special_ids)}
    return {**architecture_of(shape).write_config(shape), **special, "attn_implementation": "eager"}


def pair(shape: ModernBertConfig, folder: Path) -> tuple[ModernBertForPreTraining, Any]:
    """Ours with shaken weights, and theirs as it reads the folder of ours."""
    torch.manual_seed(0)
    model = shaken(ModernBertForPreTraining(shape))
    save_pretrained(model, build_tokenizer(VOCABULARY), folder)
    theirs, told = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert type(theirs).__name__ == architecture_of(shape).class_of("masked_lm")
    assert not any(told.values()), told
    return model, theirs.eval()


def rows_of(batch: PretrainingBatch, shape: ModernBertConfig) -> dict[str, Tensor]:
    """What theirs takes of a batch."""
    names = ("input_ids", "attention_mask", *(("token_type_ids",) if shape.type_vocab_size else ()))
    rows = padded(batch)
    return {name: rows[name] for name in names}
