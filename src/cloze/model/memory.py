"""What a training step keeps in memory, by formula. Legend: see ``cloze.batch``.

Counted are the tensors that the forward pass keeps for the backward pass, layer by layer as ``cloze.model.bert``
computes them; the tests hold the formula against those that autograd really keeps. A compiled
encoder keeps less: Inductor computes some of them again.
"""

from dataclasses import dataclass
from typing import NamedTuple

from cloze.model.config import BertConfig
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, ROWS_ON_A_DEVICE

FP32 = 4
"""Bytes of a number of the residual stream, the parameters, the gradients."""
STATISTICS = 2 * FP32
"""Of a token in a LayerNorm: its mean and the inverse of its deviation."""


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """What decides how much is kept.

    Attributes:
        compute: bytes of a number in matrix products: 2 under 16-bit autocast, 4 in fp32.
        on_gpu: whose dropout keeps a byte an element; the hashed one of a CPU keeps nothing.
        packed: a kernel of attention for packed tokens; the others besides copy what they return.
    """

    compute: int = FP32
    on_gpu: bool = False
    packed: bool = False

    @classmethod
    def of(cls, precision: str, *, on_gpu: bool) -> "Kernels":
        """Those that a precision, by Lightning's name, takes on a device."""
        half = "16" in precision
        return cls(compute=2 if half else FP32, on_gpu=on_gpu, packed=on_gpu and half)


class StepMemory(NamedTuple):
    """Bytes on one device.

    Attributes:
        parameters: with the copies in 16 bit that autocast keeps over a step.
        gradients: as large as the parameters in fp32.
        optimizer: its state.
        activations: what the encoder keeps of every token for the backward pass.
        head: the gradient of the tied decoder, which the forward pass makes; the vectors of masked tokens; the logits
            of some rows at once.
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


def count_parameters(config: BertConfig) -> int:
    """Of ``BertForPreTraining``."""
    hidden, wide = config.hidden_size, config.intermediate_size
    embeddings = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size + 2) * hidden
    block = 4 * hidden * (hidden + 1) + 2 * hidden * wide + wide + hidden + 4 * hidden
    heads = 2 * hidden * (hidden + 1) + 2 * hidden + config.vocab_size + 2 * (hidden + 1)
    return embeddings + config.num_hidden_layers * block + heads


def block_bytes(config: BertConfig, kernels: Kernels, length: float) -> float:
    """Bytes that one block keeps for a token of a sequence.

    Args:
        config: the shape.
        kernels: that compute it.
        length: tokens of the sequence; of several the mean over tokens, that is the sum of squared lengths over N.
    """
    hidden, compute = config.hidden_size, kernels.compute
    if config.attention_probs_dropout_prob and not kernels.on_gpu:
        # q, k, v and the probabilities, in fp32 whatever the rest is in; and the result.
        attention = FP32 * (3 * hidden + config.num_attention_heads * length) + compute * hidden
    else:
        results = 1 if kernels.packed else 2
        attention = compute * (3 + results) * hidden + FP32 * config.num_attention_heads  # and the log of the sums
    inputs = compute * 2 * hidden  # of the products with qkv and the intermediate layer
    feed_forward = compute * 2 * config.intermediate_size  # before and after GELU
    norms = 2 * (FP32 * hidden + STATISTICS)
    masks = 2 * hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    return attention + inputs + feed_forward + norms + masks


def activation_bytes(config: BertConfig, kernels: Kernels, length: float, *, checkpointing: bool = False) -> float:
    """Bytes that the encoder keeps for a token; arguments as of ``block_bytes``.

    Args:
        config: the shape.
        kernels: that compute it.
        length: of the sequence.
        checkpointing: keep the input of each block only (Chen et al. 2016); one block at a time is there as a whole
            when the backward pass computes it again.
    """
    hidden = config.hidden_size
    embeddings = FP32 * hidden + STATISTICS + kernels.compute * config.type_vocab_size
    embeddings += hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    block = block_bytes(config, kernels, length)
    if checkpointing:
        between = kernels.compute if kernels.on_gpu else FP32  # of a number in the vectors from block to block
        return embeddings + config.num_hidden_layers * between * hidden + block
    return embeddings + config.num_hidden_layers * block


def head_bytes(config: BertConfig, kernels: Kernels, masked: int, sequences: int) -> int:
    """Bytes that both heads keep.

    Args:
        config: the shape.
        kernels: that compute them.
        masked: M.
        sequences: B.
    """
    hidden = config.hidden_size
    decoder = FP32 * config.vocab_size * (hidden + 1)
    # The transform's input, before GELU, before the norm, and the gradient that cross-entropy has made.
    transform = masked * ((2 * kernels.compute + 2 * FP32) * hidden + STATISTICS)
    pooler = sequences * 2 * kernels.compute * hidden
    return decoder + transform + pooler


def step_memory(
    config: BertConfig,
    kernels: Kernels,
    *,
    tokens: int,
    length: float,
    masked: int,
    optimizer_bytes: float,
    checkpointing: bool = False,
    shards: int = 1,
) -> StepMemory:
    """Of a pre-training step on one device.

    Args:
        config: the shape.
        kernels: that compute it.
        tokens: N of a micro-batch.
        length: see ``block_bytes``.
        masked: M.
        optimizer_bytes: of the optimizer's state, for each parameter; AdamW keeps 8.
        checkpointing: see ``activation_bytes``.
        shards: devices that share parameters, gradients and the optimizer's state, as FSDP has it.
    """
    parameters = count_parameters(config)
    casts = parameters * kernels.compute if kernels.compute < FP32 else 0
    rows = min(ROWS_ON_A_DEVICE if kernels.on_gpu else ROWS_AT_ONCE, masked)
    logits = 2 * FP32 * rows * config.vocab_size  # they and their gradient
    sequences = max(1, round(tokens / length))
    return StepMemory(
        parameters=(FP32 * parameters + casts) // shards,
        gradients=FP32 * parameters // shards,
        optimizer=round(optimizer_bytes * parameters) // shards,
        activations=round(tokens * activation_bytes(config, kernels, length, checkpointing=checkpointing)),
        head=head_bytes(config, kernels, masked, sequences) + logits,
    )
