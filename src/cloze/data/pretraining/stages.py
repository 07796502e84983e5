"""What the phases of training make of an objective and of the size of global batches."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic

from cloze.data.pretraining.objective import B, Objective
from cloze.data.pretraining.phases import Course, Phase, phase_steps, read_phases
from cloze.data.pretraining.plan import BatchSize
from cloze.errors import InputError


@dataclass(frozen=True)
class Stages(Generic[B]):
    """The phases of training, each with its objective and the size of its global batches.

    Attributes:
        phases: what each changes.
        objectives: of each.
        sizes: of each.
    """

    phases: Sequence[Phase]
    objectives: tuple[Objective[B], ...]
    sizes: tuple[BatchSize, ...]

    @classmethod
    def of(cls, stated: Sequence[Any] | None, objective: Objective[B], size: BatchSize) -> "Stages[B]":
        """From the phases as a configuration states them, and what the first of them begins with.

        Raises:
            InputError: a phase contradicts itself, another, the objective or the size.
        """
        phases = read_phases(stated)
        stages = cls(phases, phase_objectives(objective, phases), phase_sizes(size, phases))
        for number, (own, one) in enumerate(zip(stages.sizes, stages.objectives, strict=True)):
            least = min(own.first, own.final or own.first)
            if own.tokens is not None and least < one.max_length:
                key = "data" if phases[number].batch_tokens is None else f"phases[{number}]"
                raise InputError(
                    f"{key}.batch_tokens={least}: expected at least one sequence of max_length={one.max_length}"
                )
        return stages

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence of any phase."""
        return max(objective.max_length for objective in self.objectives)

    @property
    def most_tokens(self) -> int:
        """No global batch of any phase has more tokens."""
        return max(size.most_tokens(one.max_length) for size, one in zip(self.sizes, self.objectives, strict=True))

    def accumulation(self, micro_batch_tokens: int, ranks: int) -> int:
        """The fewest micro-batches a rank that keep each within about ``micro_batch_tokens``.

        Splitting balances for any number, so nothing has to divide; a micro-batch exceeds its share of the batch by
        less than one sequence.
        """
        return max(1, -(-self.most_tokens // (micro_batch_tokens * ranks)))

    @property
    def own_positions(self) -> tuple[bool, ...]:
        """Of each phase, whether its objective follows the position in the phase, not that in training."""
        return tuple(phase.own_mask_rate for phase in self.phases)

    def steps(self, steps: int | None, tokens: int | None = None) -> list[int]:
        """Optimizer steps of each phase, of a training of n steps or tokens, or as long as the phases say.

        Raises:
            InputError: they contradict each other.
        """
        means = [size.mean_tokens(one.max_length) for size, one in zip(self.sizes, self.objectives, strict=True)]
        return phase_steps(self.phases, means, steps, tokens)

    def course(self, steps: int | None) -> Course:
        """Where the phases begin and end in a training of n steps.

        Raises:
            InputError: they follow the position of training, whose length only the clock knows.
        """
        if steps is None and len(self.phases) == 1:
            return Course()
        return Course.of(self.steps(steps))

    def check_weights(self, parts: int | None) -> None:
        """Compare the weights of the phases with the parts of a mixture; None where there is none.

        Raises:
            InputError: they are not one for each.
        """
        for number, phase in enumerate(self.phases):
            if phase.weights is not None and len(phase.weights) != parts:
                there = "they are for corpus=mixture" if parts is None else f"corpus.parts has {parts}"
                raise InputError(
                    f"phases[{number}].weights are {[*phase.weights]}: {there}; expected one for each part"
                )

    def weights(self, first: Sequence[float]) -> list[Sequence[float]]:
        """Of each phase, those of the parts of a mixture, which begins with ``first``."""
        found: list[Sequence[float]] = []
        for phase in self.phases:
            first = first if phase.weights is None else phase.weights
            found.append(first)
        return found


def phase_objectives(objective: Objective[B], phases: Sequence[Phase]) -> tuple[Objective[B], ...]:
    """The objective of each phase: that of the phase before, with what the phase changes.

    Args:
        objective: of the configuration.
        phases: of training.

    Raises:
        InputError: it has no such setting, or refuses a value.
    """
    found = []
    for number, phase in enumerate(phases):
        stated = {name: getattr(phase, name) for name in ("max_length", "mask_rate", "final_mask_rate", "masking")}
        changes: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
        if unknown := changes.keys() - {field.name for field in fields(objective)}:
            raise InputError(
                f"phases[{number}].{min(unknown)} is for an objective that has it, as objective=mlm: leave it out"
            )
        before: Any = objective
        if phase.own_mask_rate:
            begin = before.mask_rate if before.final_mask_rate is None else before.final_mask_rate
            changes = {"mask_rate": begin, "final_mask_rate": None, **changes, "mask_rate_ramp": phase.ramp}
        elif number and phases[number - 1].own_mask_rate and before.final_mask_rate is not None:
            changes |= {"mask_rate": before.final_mask_rate, "final_mask_rate": None}
        try:
            objective = replace(objective, **changes)
        except InputError as error:
            raise InputError(f"phases[{number}]: {error}") from error
        found.append(objective)
    return tuple(found)


def phase_sizes(size: BatchSize, phases: Sequence[Phase]) -> tuple[BatchSize, ...]:
    """The size of the global batches of each phase.

    Args:
        size: of the configuration.
        phases: of training.

    Raises:
        InputError: tokens and sequences are both given, or an end without a beginning.
    """
    found = []
    for number, phase in enumerate(phases):
        size = size.constant()
        units = [unit for unit in ("tokens", "sequences") if _ends(phase, unit) != (None, None)]
        if len(units) > 1:
            raise InputError(
                f"phases[{number}]: batch_tokens and batch_sequences are both given: leave one of them out"
            )
        for unit in units:
            first, final = _ends(phase, unit)
            if first is None and unit != _unit(size):
                raise InputError(
                    f"phases[{number}].final_batch_{unit}={final}: the phase before counts {_unit(size)}; give "
                    f"batch_{unit}, too"
                )
            begin = first or size.first
            tokens, sequences = (begin, None) if unit == "tokens" else (None, begin)
            size = BatchSize(tokens=tokens, sequences=sequences, final=final, ramp=phase.ramp)
        found.append(size)
    return tuple(found)


def _ends(phase: Phase, unit: str) -> tuple[int | None, int | None]:
    return getattr(phase, f"batch_{unit}"), getattr(phase, f"final_batch_{unit}")


def _unit(size: BatchSize) -> str:
    return "tokens" if size.sequences is None else "sequences"
