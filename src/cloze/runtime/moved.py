"""Former locations of classes, so that runs and model folders of earlier versions still load."""

from collections.abc import Mapping
from typing import Any

MOVED = {
    "cloze.callbacks.samples.SampleFillings": "cloze.callbacks.samples.SamplePredictions",
    "cloze.data.downstream.windows.": "cloze.data.finetuning.questions.",
    "cloze.data.downstream.": "cloze.data.finetuning.",
    "cloze.data.objective.Objective": "cloze.data.pretraining.masked_lm.MaskedLM",
    "cloze.data.pretraining.PretrainingData": "cloze.data.pretraining.module.PretrainingData",
}


def present_path(path: str) -> str:
    """The import path of today for one of an earlier version."""
    for before, now in MOVED.items():
        if path.startswith(before):
            return now + path.removeprefix(before)
    return path


ADDED = {"module": ("objective", {"_target_": "cloze.tasks.masked_lm.MaskedLMPretraining", "_partial_": True})}
"""Nodes that earlier versions did not have: next to which one they stand, and what they were then."""

NO_RULES = {"_target_": "cloze.text.quality.rules.QualityRules"}
"""What decided on the text that earlier versions left out, wherever `sentences` and `tokenizer` stand: nothing."""

WORDS, CONTINUED = "cloze.text.tokenizer.WordPiece", "cloze.text.tokenizer.ContinuedWordPiece"
"""What the tokenizer of ``init=FOLDER`` was stated as while there could be no other, and what it is today."""


def present_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run of an earlier version as it is stated today."""
    found: dict[str, Any] = _with_rules(present(config))
    words = found.get("tokenizer")
    if found.get("init") and isinstance(words, Mapping) and words.get("_target_") == WORDS and "vocab" not in words:
        found = _with_tokenizer(found, words, {**words, "_target_": CONTINUED})
    for name, (beside, node) in ADDED.items():
        if beside in found:
            found.setdefault(name, node)
    return found


def _with_rules(value: Any) -> Any:
    """With rules of quality wherever text is prepared."""
    if isinstance(value, Mapping):
        found = {name: _with_rules(part) for name, part in value.items()}
        return {"quality": NO_RULES, **found} if {"sentences", "tokenizer"} <= found.keys() else found
    return [_with_rules(part) for part in value] if isinstance(value, list) else value


def _with_tokenizer(value: Any, before: Mapping[str, Any], now: Mapping[str, Any]) -> Any:
    """With one tokenizer in place of another, wherever it stands."""
    if isinstance(value, Mapping):
        parts = value.items()
        return {
            name: now if name == "tokenizer" and part == before else _with_tokenizer(part, before, now)
            for name, part in parts
        }
    return [_with_tokenizer(part, before, now) for part in value] if isinstance(value, list) else value


def present(value: Any) -> Any:
    """A recorded configuration with every ``_target_`` as it is called today."""
    if isinstance(value, Mapping):
        return {name: present_path(part) if _is_target(name, part) else present(part) for name, part in value.items()}
    return [present(part) for part in value] if isinstance(value, list) else value


def _is_target(name: str, value: Any) -> bool:
    return name == "_target_" and isinstance(value, str)
