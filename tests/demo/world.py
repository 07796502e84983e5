"""Small models of every kind for the demo."""

from pathlib import Path

from cloze.text.tokenizer import SPECIAL_TOKENS
from tests.tiny import LETTERS, save_tiny, save_tiny_task

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "##ing", "北", "京", "是", *"<>/=\"()'.,?!"]
VOCABULARY = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), *WORDS]
SHAPE = {"num_attention_heads": 4}
KINDS = {
    "classes": "classification",
    "labels": "multilabel",
    "score": "regression",
    "entities": "token_classification",
    "questions": "question_answering",
    "choices": "multiple_choice",
}


def pretrained_folder(folder: Path) -> Path:
    return save_tiny(folder, VOCABULARY, **SHAPE)


def task_folder(kind: str, folder: Path) -> Path:
    return save_tiny_task(KINDS[kind], folder, VOCABULARY, **SHAPE)
