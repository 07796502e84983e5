"""Small BERT folders as `transformers` writes them."""

import dataclasses
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

from cloze.model.config import BertConfig
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, save_tokenizer

VOCABULARY = [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"), "the"]
CONFIG = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=48,
)


def shaken(model: torch.nn.Module) -> None:
    """Every parameter its own value, norms and biases too."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def their_config(**changes: object) -> transformers.BertConfig:
    return transformers.BertConfig(**{**dataclasses.asdict(CONFIG), **changes})


def their_folder(name: str, folder: Path, tokenizer: Tokenizer | None = None, **changes: object) -> torch.nn.Module:
    """A folder that `transformers` has written, with a tokenizer."""
    torch.manual_seed(0)
    theirs: torch.nn.Module = getattr(transformers, name)(their_config(**changes))
    shaken(theirs)
    theirs.save_pretrained(folder)  # type: ignore[operator]
    save_tokenizer(tokenizer or build_tokenizer(VOCABULARY), folder)
    return theirs.eval()
