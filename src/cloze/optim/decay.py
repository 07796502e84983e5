"""The decay of a learning rate as a branch of a run that had it constant (Hu et al. 2024; Hägele et al. 2024)."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cloze.optim.schedules import SHAPES


class DecayBeginning(NamedTuple):
    """Where a decay began; the checkpoints of a branch remember it.

    Attributes:
        step: optimizer steps behind the checkpoint that it began from.
        seconds: of training behind that checkpoint, where the clock measures the run.
        rate: the multiplier of the peak learning rate there.
    """

    step: int
    seconds: float
    rate: float


@dataclass(frozen=True, kw_only=True)
class Decay:
    """From the learning rate of the checkpoint that a run resumes from down to ``floor`` at the end of the run.

    Several runs may branch from one checkpoint of a constant rate, each with an end of its own (Hu et al. 2024,
    section 4.2; Hägele et al. 2024, section 4). Called itself, it is the decay of a run that is nothing but one.

    Attributes:
        shape: ``1-sqrt`` (Hägele et al. 2024, equation 1), ``linear`` or ``cosine``.
        floor: the multiplier of the peak at the end of the run.

    Raises:
        ValueError: a floor out of [0, 1].
    """

    shape: Literal["1-sqrt", "linear", "cosine"] = "1-sqrt"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.floor <= 1.0:
            raise ValueError(f"floor={self.floor}: it must be from 0 to 1")

    def __call__(self, position: float, length: float) -> float:
        return self.after(0.0, 1.0, position, length)

    def after(self, begin: float, rate: float, position: float, length: float) -> float:
        """The multiplier at ``position`` of a decay from ``rate`` at ``begin`` to the floor at ``length``."""
        progress = min(1.0, max(0.0, (position - begin) / max(1.0, length - begin)))
        return self.floor + (rate - self.floor) * SHAPES[self.shape](progress)


@dataclass(frozen=True)
class BegunDecay:
    """A decay from where it began: a pure function of the position, as every schedule.

    Attributes:
        decay: its shape and floor.
        beginning: what the checkpoints of the branch remember.
        begin: the same place in the unit of the run's length.
    """

    decay: Decay
    beginning: DecayBeginning
    begin: float

    def __call__(self, position: float, length: float) -> float:
        return self.decay.after(self.begin, self.beginning.rate, position, length)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.beginning._asdict()
