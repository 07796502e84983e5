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


def present_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run of an earlier version as it is stated today."""
    found = {name: present(part) for name, part in config.items()}
    for name, (beside, node) in ADDED.items():
        if beside in found:
            found.setdefault(name, node)
    return found


def present(value: Any) -> Any:
    """A recorded configuration with every ``_target_`` as it is called today."""
    if isinstance(value, Mapping):
        return {name: present_path(part) if _is_target(name, part) else present(part) for name, part in value.items()}
    return [present(part) for part in value] if isinstance(value, list) else value


def _is_target(name: str, value: Any) -> bool:
    return name == "_target_" and isinstance(value, str)
