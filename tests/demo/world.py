"""Small models of every kind for the demo."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "##ing", "北", "京", "是", *"<>/=\"()'.,?!"]
VOCABULARY = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), *WORDS]
SHAPE = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
)
HEADS: dict[str, tuple[Head, list[str], str | None]] = {
    "classes": ("sequence_classification", ["bad", "good"], "single_label_classification"),
    "labels": ("sequence_classification", ["p", "q", "r"], "multi_label_classification"),
    "score": ("sequence_classification", [], "regression"),
    "entities": ("token_classification", ["O", "B-PER", "I-PER"], None),
    "questions": ("question_answering", [], None),
    "choices": ("multiple_choice", [], None),
}


def shaken(model: torch.nn.Module) -> Any:
    """With weights that make a difference."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def pretrained_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    save_pretrained(shaken(BertForPreTraining(SHAPE)), build_tokenizer(VOCABULARY), folder)
    return folder


def task_folder(kind: str, folder: Path) -> Path:
    tokenizer: Tokenizer = build_tokenizer(VOCABULARY)
    head, labels, problem = HEADS[kind]
    scratch = Pretrained(config=SHAPE, tokenizer=tokenizer)
    torch.manual_seed(0)
    model = task_model(head, scratch, labels=labels, adaptation=Adaptation(), problem_type=problem)
    save_task_model(shaken(model), tokenizer, folder, head=head, labels=labels, problem_type=problem)
    return folder
