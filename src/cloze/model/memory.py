"""Memory of a training step by formula. Legend: see ``cloze.batch``.

Counted are the tensors that the forward pass keeps for the backward pass, by the formulas of an architecture's record;
the tests hold them against what autograd really keeps. A compiled encoder keeps less: Inductor computes some of them
again.
"""

from typing import NamedTuple, Protocol

import torch

from cloze.model.architecture import FP32, Kernels, Work, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, ROWS_ON_A_DEVICE


class StepMemory(NamedTuple):
    """Bytes on one device.

    Attributes:
        parameters: with the copies in 16 bit that autocast keeps over a step.
        gradients: as large as the parameters in fp32.
        optimizer: its state.
        activations: what the encoder keeps of every token for the backward pass.
        head: the gradient of the tied decoder, which the forward pass makes; the hidden states of masked tokens; the
            logits of some rows at once.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    head: int

    @property
    def total(self) -> int:
        """An upper bound: gradients come as activations go."""
        return sum(self)


class Memory(Protocol):
    """``step_memory`` of one encoder, with its heads and so many parameters, in a step whose sizes are known."""

    def __call__(self, config: EncoderConfig, *, masked: int, parameters: int) -> StepMemory: ...


def count_parameters(config: EncoderConfig) -> int:
    """Of the encoder with its pre-training heads."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in architecture_of(config).pretraining(config).parameters())


def activation_bytes(config: EncoderConfig, kernels: Kernels, length: float, *, checkpointing: bool = False) -> float:
    """Bytes that the encoder keeps for a token.

    Args:
        config: the shape.
        kernels: that compute it.
        length: tokens of the sequence; of several the mean over tokens, that is the sum of squared lengths over N.
        checkpointing: keep the input of each block only (Chen et al. 2016); one block at a time is there as a whole
            when the backward pass computes it again.
    """
    return architecture_of(config).activation_bytes(config, kernels, length, checkpointing)


def step_memory(
    config: EncoderConfig,
    kernels: Kernels,
    *,
    tokens: int,
    length: float,
    masked: int,
    optimizer_bytes: float,
    parameters: int | None = None,
    checkpointing: bool = False,
    shards: int = 1,
) -> StepMemory:
    """Of a pre-training step on one device.

    Args:
        config: the shape.
        kernels: that compute it.
        tokens: N of a micro-batch.
        length: see ``activation_bytes``.
        masked: M.
        optimizer_bytes: of the optimizer's state, for each parameter; AdamW keeps 8.
        parameters: of a model with heads of its own; None for those of the architecture.
        checkpointing: see ``activation_bytes``.
        shards: devices that share parameters, gradients and the optimizer's state, as FSDP has it.
    """
    parameters = count_parameters(config) if parameters is None else parameters
    casts = parameters * kernels.compute if kernels.compute < FP32 else 0
    rows = min(ROWS_ON_A_DEVICE if kernels.on_gpu else ROWS_AT_ONCE, masked)
    logits = 2 * FP32 * rows * config.vocab_size  # they and their gradient
    sequences = max(1, round(tokens / length))
    activations = tokens * activation_bytes(config, kernels, length, checkpointing=checkpointing)
    if not checkpointing:
        unread = tokens - Work(tokens, {}, masked, sequences).read
        activations -= unread * architecture_of(config).unread_bytes(config, kernels, length)
    return StepMemory(
        parameters=(FP32 * parameters + casts) // shards,
        gradients=FP32 * parameters // shards,
        optimizer=round(optimizer_bytes * parameters) // shards,
        activations=round(activations),
        head=architecture_of(config).head_bytes(config, kernels, masked, sequences) + logits,
    )
