"""Learning-rate schedules: pure functions of the position in training, so that a resumed run needs no state.

Position and length have one unit, whichever measures the run: optimizer steps or seconds. A schedule gives the
multiplier of the peak learning rate; it is never zero at the first step of a run.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

SHAPES: Mapping[str, Callable[[float], float]] = {
    "1-sqrt": lambda progress: 1.0 - math.sqrt(progress),
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
"""What is left of the way down, from the share of it that is over."""


class Schedule(Protocol):
    """The multiplier of the learning rate at ``position`` of ``length``, both in one unit."""

    def __call__(self, position: float, length: float) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """A linear rise from zero to the peak, which every schedule here begins with.

    Attributes:
        warmup_steps: its length in steps; where it is zero, ``warmup_ratio`` counts.
        warmup_ratio: its length as a share of the run.

    Raises:
        ValueError: a negative length, both lengths, or a ratio of 1 or more.
    """

    warmup_steps: int = 0
    warmup_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or not 0.0 <= self.warmup_ratio < 1.0:
            raise ValueError(
                f"warmup_steps={self.warmup_steps}, warmup_ratio={self.warmup_ratio}: "
                "steps must not be negative, the ratio must be at least 0 and below 1"
            )
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError(
                f"warmup_steps={self.warmup_steps} and warmup_ratio={self.warmup_ratio} are both set: set one to 0"
            )

    def warmup(self, length: float) -> float:
        """The length of the rise in the unit of ``length``."""
        return self.warmup_steps or self.warmup_ratio * length

    def rise(self, position: float, length: float) -> float:
        """The multiplier during warm-up, 1 after it. Step 0 is the first that trains, hence the + 1."""
        warmup = self.warmup(length)
        return min(1.0, (position + 1) / (warmup + 1))

    def progress(self, position: float, length: float) -> float:
        """The share of the run after warm-up that is over, in [0, 1]."""
        warmup = self.warmup(length)
        return min(1.0, max(0.0, (position - warmup) / max(1.0, length - warmup)))


@dataclass(frozen=True, kw_only=True)
class Linear(Warmup):
    """Down to ``floor`` in a straight line (Devlin et al. 2019, appendix A.2).

    Attributes:
        floor: the multiplier at the end of the run.
    """

    floor: float = 0.0

    def __call__(self, position: float, length: float) -> float:
        decay = SHAPES["linear"](self.progress(position, length))
        return self.rise(position, length) * (self.floor + (1.0 - self.floor) * decay)


@dataclass(frozen=True, kw_only=True)
class Cosine(Warmup):
    """Down to ``floor`` along half a cosine (Loshchilov & Hutter 2017, SGDR, equation 5).

    Attributes:
        floor: the multiplier at the end of the run.
    """

    floor: float = 0.0

    def __call__(self, position: float, length: float) -> float:
        decay = SHAPES["cosine"](self.progress(position, length))
        return self.rise(position, length) * (self.floor + (1.0 - self.floor) * decay)


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(Warmup):
    """Constant until the last ``decay_ratio`` of the run, then down to ``floor`` as 1 - sqrt.

    The trapezoid of Zhai et al. 2022 (section 3.5) with the decay of Hägele et al. 2024 (section 4), as in ModernBERT.

    Attributes:
        decay_ratio: the length of the decay as a share of the run; 0 for a run that another one is to follow.
        floor: the multiplier at the end of the run.
    """

    decay_ratio: float = 0.2
    floor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.decay_ratio <= 1.0:
            raise ValueError(f"decay_ratio={self.decay_ratio}: it must be from 0 to 1")

    def __call__(self, position: float, length: float) -> float:
        decay_length = self.decay_ratio * length
        into_decay = min(1.0, max(0.0, (position - (length - decay_length)) / max(1.0, decay_length)))
        decay = SHAPES["1-sqrt"](into_decay)
        return self.rise(position, length) * (self.floor + (1.0 - self.floor) * decay)


@dataclass(frozen=True, kw_only=True)
class InverseSquareRoot(Warmup):
    """1 / sqrt(position) after warm-up (Vaswani et al. 2017, equation 3), independent of the length of the run."""

    def __call__(self, position: float, length: float) -> float:
        warmup = max(1.0, self.warmup(length))
        return self.rise(position, length) * min(1.0, math.sqrt(warmup / max(position, warmup)))
