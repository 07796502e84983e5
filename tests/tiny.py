"""The tiny BERT of the tests: its shape, its vocabulary, and folders with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer

from cloze.checkpoint.folder import save_pretrained
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

M = TypeVar("M", bound=torch.nn.Module)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "the"]

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def tiny_config(vocab_size: int = len(VOCABULARY), **changes: float) -> BertConfig:
    """The shape, with other values where a test needs them."""
    return BertConfig(vocab_size=vocab_size, **{**SHAPE, **changes})  # type: ignore[arg-type]


def tiny_model(vocab_size: int = len(VOCABULARY), **changes: float) -> BertForPreTraining:
    """The same weights each time, in training."""
    torch.manual_seed(0)
    return BertForPreTraining(tiny_config(vocab_size, **changes)).train()


def shaken(model: M, spread: float = 0.1) -> M:
    """Move every parameter, so that no bias is zero, no norm is one and outputs differ; for evaluation."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += spread * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def tiny_tokenizer() -> Tokenizer:
    """Of VOCABULARY."""
    return build_tokenizer(VOCABULARY)


def save_tiny(folder: Path, pieces: Sequence[str] = VOCABULARY, **changes: float) -> Path:
    """The folder of a pre-trained model."""
    save_pretrained(shaken(tiny_model(len(pieces), **changes), 0.2), build_tokenizer(pieces), folder)
    return folder
