"""How far rotary positions are stretched beyond the lengths that a model was trained on; light to import."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

KEYS = {
    "linear": ("factor",),
    "yarn": ("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"),
}
"""The settings of each ``rope_type`` besides the base; ``default`` has none."""


class Scaling(NamedTuple):
    """A stretching of rotary positions.

    Attributes:
        factor: how many times longer the sequences are.
        original: their length before; None for position interpolation, which slows every dimension alike (Chen et al.
            2023). With it YaRN (Peng et al. 2023, section 3.2): what turns often in that length keeps its speed, what
            turns seldom is slowed, with a ramp between.
        attention_factor: of cosines and sines (section 3.4).
        beta_fast: turns in the original length from which on a speed is kept.
        beta_slow: turns up to which it is slowed by the whole factor.
    """

    factor: float
    original: int | None = None
    attention_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0

    def ramp(self, size: int, theta: float) -> tuple[float, float]:
        """Between which of the pairs of K dimensions the speeds go over from kept to slowed (equations 20 to 23)."""
        assert self.original is not None
        low, high = (
            size * math.log(self.original / (turns * 2 * math.pi)) / (2 * math.log(theta))
            for turns in (self.beta_fast, self.beta_slow)
        )
        low, high = max(math.floor(low), 0), min(math.ceil(high), size - 1)
        return low, high + 0.001 * (low == high)  # as transformers does it, against a division by zero


def scaling(stated: Mapping[str, Any] | None, name: str) -> Scaling | None:
    """What a section of settings in the names of ``rope_parameters`` says; None where nothing is stretched.

    Args:
        stated: ``rope_type`` and what belongs to it.
        name: of the section, for messages.

    Raises:
        ValueError: the kind is not supported, or a setting is missing, unknown or none that can be.
    """
    if stated is None or stated.get("rope_type") == "default":
        return None
    kind = stated.get("rope_type")
    if kind not in KEYS:
        raise ValueError(f"{name}: rope_type is {kind!r}, but only default, {' and '.join(KEYS)} are supported")
    given = {key: value for key, value in stated.items() if key != "rope_type" and value is not None}
    if unknown := given.keys() - KEYS[kind]:
        raise ValueError(f"{name}: rope_type {kind} takes {', '.join(KEYS[kind])}, but no {min(unknown)}")
    for key in ("factor", "original_max_position_embeddings")[: 1 + (kind == "yarn")]:
        if key not in given:
            raise ValueError(f"{name}: rope_type {kind} needs {key}")
    for key, value in given.items():
        least = 1 if key in ("factor", "original_max_position_embeddings") else 0
        wanted = f"from {least}" if least else "above 0"
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf or not value:
            raise ValueError(f"{name}: {key} is {value!r}, but must be a number {wanted}")
    factor = float(given["factor"])
    if kind == "linear":
        return Scaling(factor)
    return Scaling(
        factor,
        int(given["original_max_position_embeddings"]),
        float(given.get("attention_factor", 0.1 * math.log(factor) + 1.0)),
        float(given.get("beta_fast", 32.0)),
        float(given.get("beta_slow", 1.0)),
    )
