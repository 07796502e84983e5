"""Decision thresholds of multi-label classification."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from cloze.errors import InputError

Threshold = float | Sequence[float] | Literal["dev"] | None
"""A probability, or one for each label; ``dev``: chosen on the dev set; None: what the state says, else 0.5."""

DEFAULT = 0.5
KEY = "threshold:"
"""Begins the names in the state, which end with a label."""

MOST_LISTED = 8  # labels in a message


def is_stated(threshold: Threshold) -> bool:
    """Whether nothing that was found in training may change it."""
    return threshold is not None and threshold != "dev"


def thresholds_of(threshold: Threshold, labels: Sequence[str]) -> np.ndarray:
    """One for each label, (L,), before anything is known.

    Raises:
        InputError: there are not as many as labels, or one is no probability.
    """
    given = DEFAULT if threshold is None or threshold == "dev" else threshold
    each = [float(one) for one in (given if isinstance(given, Sequence) else [given] * len(labels))]
    if len(each) != len(labels) or not all(0 <= one <= 1 for one in each):
        raise InputError(
            f"threshold={threshold}: expected a probability from 0 to 1, or one for each of {quoted_labels(labels)}"
        )
    return np.array(each)


def as_state(thresholds: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Thresholds by name, as checkpoints and model folders hold them."""
    return {f"{KEY}{label}": float(one) for label, one in zip(labels, thresholds, strict=True)}


def of_state(state: Mapping[str, float], labels: Sequence[str]) -> np.ndarray:
    """What `as_state` has made, (L,)."""
    return np.array([state.get(f"{KEY}{label}", DEFAULT) for label in labels])


def by_label(state: Mapping[str, float]) -> dict[str, float]:
    """The thresholds of a state by the names of their labels; none where it is another task's."""
    return {key.removeprefix(KEY): one for key, one in state.items() if key.startswith(KEY)}


def quoted_labels(labels: Sequence[str]) -> str:
    """Labels in a message."""
    shown = ", ".join(map(repr, labels[:MOST_LISTED]))
    return shown if len(labels) <= MOST_LISTED else f"{shown} and {len(labels) - MOST_LISTED} others"
