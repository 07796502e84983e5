"""The tiny BERT of the tests: its shape, its vocabulary, and folders with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

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


TASKS: dict[str, tuple[Head, list[str], str | None]] = {
    "classification": ("sequence_classification", ["bad", "good"], "single_label_classification"),
    "multilabel": ("sequence_classification", ["p", "q", "r"], "multi_label_classification"),
    "regression": ("sequence_classification", [], "regression"),
    "token_classification": ("token_classification", ["O", "B-X", "I-X"], None),
    "question_answering": ("question_answering", [], None),
    "multiple_choice": ("multiple_choice", [], None),
}
"""Of each kind of task the head, the labels and the kind of label."""


def save_tiny_task(task: str, folder: Path, pieces: Sequence[str] = VOCABULARY, **changes: float) -> Path:
    """The folder of a model that was fine-tuned on one of TASKS."""
    (head, labels, problem), tokenizer = TASKS[task], build_tokenizer(pieces)
    torch.manual_seed(0)
    scratch = Pretrained(config=tiny_config(len(pieces), **changes), tokenizer=tokenizer)
    model = task_model(head, scratch, labels=labels, adaptation=Adaptation(), problem_type=problem)
    save_task_model(shaken(model, 0.2), tokenizer, folder, head=head, labels=labels, problem_type=problem)
    return folder


def save_tiny(folder: Path, pieces: Sequence[str] = VOCABULARY, **changes: float) -> Path:
    """The folder of a pre-trained model."""
    save_pretrained(shaken(tiny_model(len(pieces), **changes), 0.2), build_tokenizer(pieces), folder)
    return folder
