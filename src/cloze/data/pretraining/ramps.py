"""The way from one value to another within a part of training."""

import math
from typing import Literal, get_args

Ramp = Literal["linear", "doublings"]
RAMPS: tuple[str, ...] = get_args(Ramp)


def ramped(first: float, last: float | None, share: float, ramp: str = "linear") -> float:
    """The value after a share of the way.

    Args:
        first: at the beginning.
        last: at the end; None for the same all along.
        share: from 0 to 1.
        ramp: a straight line, or stages of equal length, each with twice the value of the one before, or half of it;
            the last stage has ``last``.
    """
    if last is None or first == last:
        return first
    share = min(max(share, 0.0), 1.0)
    if ramp == "linear":
        return first + share * (last - first)
    stages = math.ceil(abs(math.log2(last / first)) - 1e-9) + 1
    stage = min(int(share * stages), stages - 1)
    if stage == stages - 1:
        return last
    return first * 2.0**stage if last > first else first * 0.5**stage
