"""Phases of training: what changes from one part of training to the next, as the key `phases` states it.

A phase says what it changes; all else is as in the phase before, and in the first one as the configuration says.
Imports only the standard library, to report mistakes quickly.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, get_args

from cloze.data.pretraining.ramps import RAMPS, Ramp
from cloze.errors import InputError

LrShape = Literal["1-sqrt", "linear", "cosine"]
FROZEN = ("embeddings", "layers", "heads")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One part of training, and what it changes.

    Its length is a ``share`` of training, or a number of ``steps`` or ``tokens``; one phase without any takes the rest.

    Attributes:
        share: of the optimizer steps of training, above 0 and at most 1; where one phase has it, all have.
        steps: length in optimizer steps.
        tokens: length in tokens, rounded up to whole global batches.
        max_length: tokens of the longest sequence.
        mask_rate: share of the tokens to predict, at the beginning of the phase.
        final_mask_rate: and at its end.
        masking: ``token``, ``whole_word`` or ``span``.
        batch_tokens: tokens of a global batch, at the beginning of the phase.
        final_batch_tokens: and at its end.
        batch_sequences: or sequences of a global batch, at the beginning of the phase.
        final_batch_sequences: and at its end.
        ramp: from what is at the beginning to what is at the end in a ``linear`` way, or in ``doublings`` (of equal
            length; or halvings).
        weights: of the parts of `corpus=mixture`, in their order.
        lr: learning rate at the beginning of the phase; without, that at the end of the phase before. As long as no
            phase has ``lr`` or ``final_lr``, it follows `schedule`.
        final_lr: and at its end.
        lr_shape: of the way between both: ``linear``, ``cosine`` (half a wave) or ``1-sqrt`` (fast at first; Hägele et
            al. 2024, section 4).
        global_rope_theta: base of the rotary positions of full attention.
        local_rope_theta: the same in a window.
        frozen: what is not trained: ``embeddings``, ``layers`` (all, or one as ``layers.0``), ``heads``.

    Raises:
        InputError: for a value outside its range, or values that exclude each other.
    """

    share: float | None = None
    steps: int | None = None
    tokens: int | None = None
    max_length: int | None = None
    mask_rate: float | None = None
    final_mask_rate: float | None = None
    masking: str | None = None
    batch_tokens: int | None = None
    final_batch_tokens: int | None = None
    batch_sequences: int | None = None
    final_batch_sequences: int | None = None
    ramp: Ramp = "linear"
    weights: Sequence[float] | None = None
    lr: float | None = None
    final_lr: float | None = None
    lr_shape: LrShape = "linear"
    global_rope_theta: float | None = None
    local_rope_theta: float | None = None
    frozen: Sequence[str] | None = None

    def __post_init__(self) -> None:
        lengths = [name for name in ("share", "steps", "tokens") if getattr(self, name) is not None]
        if len(lengths) > 1:
            raise InputError(f"{' and '.join(lengths)} both say how long the phase is: leave one of them out")
        for name in (*lengths, "max_length", "batch_tokens", "final_batch_tokens", "batch_sequences",
                     "final_batch_sequences", "global_rope_theta", "local_rope_theta"):  # fmt: skip
            if (value := getattr(self, name)) is not None and value <= 0:
                raise InputError(f"{name} is {value}, but must be above zero")
        for name in ("lr", "final_lr"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise InputError(f"{name} is {value}, but must not be below zero")
        for name, choices in (("ramp", RAMPS), ("lr_shape", get_args(LrShape))):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)}, but must be one of {', '.join(choices)}")
        if self.weights is not None and (min(self.weights, default=0) < 0 or not sum(self.weights)):
            raise InputError(f"weights are {[*self.weights]}, but must not be below zero, and one above it")
        for name in self.frozen or ():
            kind, _, number = name.partition(".")
            if kind not in FROZEN or (number and not (kind == "layers" and number.isdecimal())):
                raise InputError(f"frozen has {name!r}, but takes {', '.join(FROZEN)}, or one layer as layers.0")

    @property
    def length(self) -> tuple[str, float] | None:
        """Which key says how long it is, and its value; None for the rest of training."""
        given = ((name, getattr(self, name)) for name in ("share", "steps", "tokens"))
        return next(((name, value) for name, value in given if value is not None), None)

    @property
    def own_mask_rate(self) -> bool:
        """Whether the mask rate follows the position in the phase, not that in training."""
        return self.mask_rate is not None or self.final_mask_rate is not None


def read_phases(stated: Sequence[Any] | None) -> list[Phase]:
    """Phases as a configuration states them: sections, or (share, max_length).

    Args:
        stated: None for one phase that changes nothing.

    Raises:
        InputError: as `Phase`, or the lengths do not go together.
    """
    phases = [_read(one, f"phases[{number}]") for number, one in enumerate(stated or [Phase()])]
    shares = [phase.share for phase in phases if phase.share is not None]
    if shares and (len(shares) < len(phases) or abs(sum(shares) - 1) > 1e-6):
        raise InputError(f"phases: the shares of training are {shares}; expected one for each phase, which sum to 1")
    if sum(phase.length is None for phase in phases) > 1:
        raise InputError("phases: only one of them can be without share, steps and tokens: it takes the rest")
    return phases


def _read(stated: Any, key: str) -> Phase:
    try:
        if isinstance(stated, Phase):
            return stated
        if isinstance(stated, Mapping):
            return Phase(**stated)
        share, length = stated
        return Phase(share=float(share), max_length=int(length))
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def phase_steps(
    phases: Sequence[Phase], mean_tokens: Sequence[float], steps: int | None, tokens: int | None = None
) -> list[int]:
    """How many optimizer steps each phase has.

    Args:
        phases: as `read_phases` makes them.
        mean_tokens: of a global batch in each.
        steps: of the whole training; None where ``tokens`` say how long it is, or the phases themselves.
        tokens: likewise.

    Raises:
        InputError: the phases and the length of training contradict each other, or do not say how long it is.
    """
    lengths = [phase.length for phase in phases]
    if phases[0].share is not None:
        shares = [phase.share or 0.0 for phase in phases]
        if steps is None:
            if tokens is None:
                raise _unknown()
            steps = math.ceil(tokens / sum(share * mean for share, mean in zip(shares, mean_tokens, strict=True)))
        ends = [round(done * steps) for done in accumulate(shares[:-1])]
        return [end - begin for begin, end in zip([0, *ends], [*ends, steps], strict=True)]
    found = [
        None if length is None else math.ceil(length[1] / (mean if length[0] == "tokens" else 1))
        for length, mean in zip(lengths, mean_tokens, strict=True)
    ]
    stated = sum(filter(None, found))
    if None not in found:
        if (steps is not None and steps != stated) or (tokens is not None and not _is_sum(tokens, found, mean_tokens)):
            total = f"trainer.max_steps is {steps:,}" if steps is not None else f"trainer.max_tokens is {tokens:,}"
            raise InputError(
                f"phases: together they have {stated:,} steps, but {total}: leave the length of one phase out, or set "
                "the length of training to null"
            )
        return [number or 0 for number in found]
    rest = found.index(None)
    if steps is None and tokens is not None:
        used = sum((number or 0) * mean for number, mean in zip(found, mean_tokens, strict=True))
        steps = stated + math.ceil((tokens - used) / mean_tokens[rest])
    if steps is None:
        raise _unknown()
    if steps <= stated:
        raise InputError(
            f"phases: phases[{rest}] takes the rest of training, but the others have all of its {steps:,} steps"
        )
    return [steps - stated if number is None else number for number in found]


def _is_sum(tokens: int, steps: Sequence[int | None], mean_tokens: Sequence[float]) -> bool:
    """Whether a number of tokens is what phases have, to within a batch of each."""
    made = sum((number or 0) * mean for number, mean in zip(steps, mean_tokens, strict=True))
    return abs(made - tokens) <= sum(mean_tokens)


def _unknown() -> InputError:
    return InputError(
        "phases follow the position of training: expected a length in steps, tokens or epochs; set trainer.max_steps"
    )


@dataclass(frozen=True)
class Course:
    """Where each phase begins and ends, in optimizer steps.

    Attributes:
        ends: the steps after which each phase but the last ends.
        total: steps of training; None where only the clock knows.
    """

    ends: tuple[int, ...] = ()
    total: int | None = None

    @classmethod
    def of(cls, steps: Sequence[int]) -> "Course":
        """From how many steps each phase has."""
        *ends, total = accumulate(steps)
        return cls(tuple(ends), total)

    def phase(self, done: int) -> int:
        """The phase of the step after so many, from 0; that of the last step at the end of training."""
        last = done if self.total is None else min(done, max(self.total - 1, 0))
        return bisect_right(self.ends, last)

    def bounds(self, phase: int) -> tuple[int, int | None]:
        """The steps behind its first one, and behind its last one."""
        begin = self.ends[phase - 1] if phase else 0
        return begin, self.ends[phase] if phase < len(self.ends) else self.total

    def share(self, done: int) -> float:
        """How much of training is over, from 0 at the first step to 1 at the last."""
        return _share(done, 0, self.total)

    def share_of_phase(self, done: int) -> float:
        """The same of the phase of the step."""
        return _share(done, *self.bounds(self.phase(done)))


def _share(done: int, begin: int, end: int | None) -> float:
    return 0.0 if end is None else min(1.0, (done - begin) / max(end - begin - 1, 1))
