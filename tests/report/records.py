"""Predictions as the shapes of tasks give them."""

from typing import Any

TEXTS: list[dict[str, Any]] = [
    {"id": "1", "text": "fine | film", "prediction": "pos", "probability": 0.9, "label": "pos", "correct": True},
    {"id": "2", "text": "line\none", "prediction": "pos", "probability": 0.6, "label": "neg", "correct": False},
    {"id": "3", "text": '"so", *so*', "prediction": "neg", "probability": 0.8, "label": "pos", "correct": False},
    {"id": "4", "text": "überlang " * 60, "prediction": "neg", "probability": 0.7, "label": "neg", "correct": True},
]
SCORES: list[dict[str, Any]] = [
    {"id": "a", "text": "x", "text_pair": "y", "prediction": 2.5, "label": 2.0, "error": 0.5},
    {"id": "b", "text": "u", "text_pair": "v", "prediction": 1.0, "label": 4.0, "error": 3.0},
    {
        "id": "c",
        "text": "y",
        "prediction": {"joy": 0.5, "fear": 0.25},
        "label": {"joy": 1.0, "fear": 0.0},
        "error": 0.375,
    },
]
TAGS: list[dict[str, Any]] = [
    {
        "id": "0", "words": ["Ada", "King", "in", "Rome"], "prediction": ["B-PER", "I-PER", "O", "B-PER"],
        "probability": 0.5, "label": ["B-PER", "I-PER", "O", "B-LOC"], "correct": False,
        "entities": [{"start": 0, "end": 2, "label": "PER"}, {"start": 3, "end": 4, "label": "PER"}],
    },
    {"id": "1", "words": ["no"], "prediction": ["O"], "probability": 0.9, "entities": [], "label": ["O"],
     "correct": True},
]  # fmt: skip
RAW: list[dict[str, Any]] = [
    {
        "id": "0", "text": "in St. Ives", "offsets": [[0, 2], [3, 5], [5, 6], [7, 11]],
        "words": ["in", "St", ".", "Ives"], "prediction": ["O", "B-LOC", "I-LOC", "O"],
        "entities": [{"start": 3, "end": 6, "label": "LOC"}],
        "label": ["O", "B-LOC", "I-LOC", "I-LOC"], "correct": False,
    }
]  # fmt: skip
PARTS_OF_SPEECH: list[dict[str, Any]] = [
    {"id": "0", "words": ["a", "dog"], "prediction": ["DET", "VERB"], "label": ["DET", "NOUN"], "correct": False},
    {"id": "1", "words": ["run"], "prediction": ["VERB"], "label": ["VERB"], "correct": True},
]
SEVERAL: list[dict[str, Any]] = [
    {
        "id": "0",
        "text": "t",
        "prediction": ["a"],
        "probabilities": {"a": 0.9, "b": 0.2},
        "label": ["a", "b"],
        "correct": False,
        "missed": ["b"],
        "extra": [],
    },
    {
        "id": "1",
        "text": "t",
        "prediction": ["a", "b"],
        "probabilities": {"a": 0.6, "b": 0.8},
        "label": ["b"],
        "correct": False,
        "missed": [],
        "extra": ["a"],
    },
    {
        "id": "2",
        "text": "t",
        "prediction": [],
        "probabilities": {"a": 0.1, "b": 0.3},
        "label": [],
        "correct": True,
        "missed": [],
        "extra": [],
    },
]
CHOICES: list[dict[str, Any]] = [
    {"id": "0", "text": "He", "choices": ["ran.", "sat."], "prediction": 0, "probability": 0.8, "label": 1,
     "correct": False}
]  # fmt: skip
ANSWERS: list[dict[str, Any]] = [
    {"id": "q", "question": "Who?", "prediction": "Ada", "probability": 0.4, "label": ["Ada King", "King"],
     "correct": False}
]  # fmt: skip
