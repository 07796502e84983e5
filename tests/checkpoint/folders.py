"""Small BERT folders as `transformers` writes them."""

import dataclasses
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

from cloze.text.tokenizer import save_tokenizer
from tests.tiny import shaken, tiny_config, tiny_tokenizer

CONFIG = tiny_config(num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=48)


def their_config(**changes: object) -> transformers.BertConfig:
    return transformers.BertConfig(**{**dataclasses.asdict(CONFIG), **changes})


def their_folder(name: str, folder: Path, tokenizer: Tokenizer | None = None, **changes: object) -> torch.nn.Module:
    """A folder that `transformers` has written, with a tokenizer."""
    torch.manual_seed(0)
    theirs: torch.nn.Module = getattr(transformers, name)(their_config(**changes))
    shaken(theirs)
    theirs.save_pretrained(folder)  # type: ignore[operator]
    save_tokenizer(tokenizer or tiny_tokenizer(), folder)
    return theirs.eval()
