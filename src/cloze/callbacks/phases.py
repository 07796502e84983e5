"""Apply what phases of training change of the model: the bases of rotary positions, and what is frozen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
from torch.nn import Parameter
from torch.optim import Optimizer

from cloze.data.pretraining.phases import Course, Phase
from cloze.errors import InputError
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads

THETAS = ("global_rope_theta", "local_rope_theta")


class PhaseChanges(pl.Callback):
    """Holds the model to the phase of the optimizer step.

    A phase begins right behind the last step of the one before, so that a checkpoint between both is of the new one.

    Args:
        phases: of training.
        course: where they begin and end.
    """

    def __init__(self, phases: Sequence[Phase], course: Course) -> None:
        self.phases, self.course = phases, course
        self._phase: int | None = None
        self._frozen: list[Parameter] = []

    def apply(self, model: EncoderWithHeads, step: int) -> None:
        """Make the model that of the phase after so many optimizer steps."""
        phase = self.course.phase(step)
        if phase == self._phase:
            return
        self._phase = phase
        if bases := rope_thetas(self.phases[: phase + 1]):
            model.turn_by(replace(model.config, **bases))
        self._frozen = frozen_parameters(model, frozen_in(self.phases[: phase + 1]))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._phase = None  # parameters may be others since, as those of FSDP2 are
        self.apply(pl_module.model, trainer.global_step)  # type: ignore[arg-type]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        # Before the gradients are clipped: without one, an optimizer moves neither a parameter nor its own state.
        for parameter in self._frozen:
            parameter.grad = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.apply(pl_module.model, trainer.global_step)  # type: ignore[arg-type]


def rope_thetas(phases: Sequence[Phase]) -> dict[str, float]:
    """The bases of rotary positions in the last of some phases, as far as they change them."""
    found: dict[str, float] = {}
    for phase in phases:
        found |= {name: value for name in THETAS if (value := getattr(phase, name)) is not None}
    return found


def frozen_in(phases: Sequence[Phase]) -> Sequence[str]:
    """What is frozen in the last of some phases."""
    return next((phase.frozen for phase in reversed(phases) if phase.frozen is not None), ())


def frozen_parameters(model: EncoderWithHeads, names: Sequence[str]) -> list[Parameter]:
    """Those of some parts of a model.

    Args:
        model: an encoder with its heads.
        names: ``embeddings``, ``layers``, ``layers.0``, ``heads``.
    """
    places = {"embeddings": ["encoder.embeddings."], "layers": ["encoder.blocks.", "encoder.norm."]}
    begins = tuple(begin for name in names for begin in places.get(name, [f"encoder.blocks.{name.partition('.')[2]}."]))
    heads = "heads" in names
    return [
        parameter
        for name, parameter in model.named_parameters()
        if (name.startswith(begins) if name.startswith("encoder.") else heads)
    ]


def check_phases(phases: Sequence[Phase], config: EncoderConfig) -> None:
    """Compare what phases change with the shape of the model.

    Raises:
        InputError: it has no such base or layer, or nothing is left to train.
    """
    for number, phase in enumerate(phases):
        for name in THETAS:
            if getattr(phase, name) is not None and not hasattr(config, name):
                raise InputError(
                    f"phases[{number}].{name} is for rotary positions, which this model does not have: leave it out"
                )
        layers = [int(name.partition(".")[2]) for name in phase.frozen or () if "." in name]
        if too_high := [layer for layer in layers if layer >= config.num_hidden_layers]:
            raise InputError(
                f"phases[{number}].frozen has layers.{too_high[0]}, but the model has {config.num_hidden_layers} "
                "layers, from layers.0 on"
            )
        frozen = {*(phase.frozen or ())} | ({"layers"} if len({*layers}) == config.num_hidden_layers else set())
        if {"embeddings", "layers", "heads"} <= frozen:
            raise InputError(f"phases[{number}].frozen has all of the model, so that nothing would be trained")
