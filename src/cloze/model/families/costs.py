"""What a training step costs, by formulas that the records of the architectures share. Legend: see ``cloze.batch``."""

from collections.abc import Mapping
from typing import Protocol

from cloze.model.architecture import FP32, STATISTICS, Kernels, Work
from cloze.model.config import EncoderConfig


class Sized(EncoderConfig, Protocol):
    """The shape of an encoder with feed-forward layers."""

    @property
    def intermediate_size(self) -> int: ...


def forward_flops(
    config: Sized, work: Work, windows: Mapping[int | None, int], *, gated: bool = False, transform: bool = True
) -> int:
    """Of matrix products, a multiply and an add each counted (2 m n k).

    Args:
        config: the shape.
        work: the size of the batch.
        windows: how many blocks see how far.
        gated: whether the first feed-forward layer is two.
        transform: whether a dense layer stands before the decoder.
    """
    hidden = config.hidden_size
    block = 4 * hidden * hidden + (3 if gated else 2) * hidden * config.intermediate_size  # weights
    forward = config.num_hidden_layers * 2 * block * work.tokens
    forward += sum(blocks * 4 * hidden * work.attended[window] for window, blocks in windows.items())
    forward += 2 * work.masked * hidden * (hidden * transform + config.vocab_size)
    return forward + 2 * work.sequences * hidden * (hidden + 2)


def block_bytes(config: Sized, kernels: Kernels, keys: float, *, norm: float, feed_forward: int = 2) -> float:
    """Bytes that one block keeps for a token that sees so many keys.

    Args:
        config: the shape.
        kernels: that compute it.
        keys: of the length of its sequence, or of a window.
        norm: bytes that each of its two norms keeps.
        feed_forward: numbers of the width of the feed-forward layer: before and after its activation; of a gated one
            the gate, it activated unless one kernel computes all of it, what it gates, and the product.
    """
    hidden, compute = config.hidden_size, kernels.compute
    if config.attention_probs_dropout_prob and not kernels.on_gpu:
        # q, k, v and the probabilities, in fp32 whatever the rest is in; and the result.
        attention = FP32 * (3 * hidden + config.num_attention_heads * keys) + compute * hidden
    else:
        results = 1 if kernels.packed else 2
        attention = compute * (3 + results) * hidden + FP32 * config.num_attention_heads  # and the log of the sums
    inputs = compute * 2 * hidden  # of the products with qkv and the intermediate layer
    masks = 2 * hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    return attention + inputs + compute * feed_forward * config.intermediate_size + 2 * norm + masks


def norm_bytes(config: EncoderConfig) -> float:
    """Bytes that a LayerNorm keeps of a token: its input and the statistics of that."""
    return FP32 * config.hidden_size + STATISTICS


def encoder_bytes(
    config: EncoderConfig, kernels: Kernels, ends: float, blocks: Mapping[float, int], checkpointing: bool
) -> float:
    """Bytes that an encoder keeps for a token.

    Args:
        config: the shape.
        kernels: that compute it.
        ends: bytes that embeddings and the norm after the last block keep.
        blocks: how many blocks keep so many bytes.
        checkpointing: whether a block keeps its input only, and one at a time is computed again.
    """
    if checkpointing:
        between = kernels.compute if kernels.on_gpu else FP32  # of a number in the hidden states between blocks
        return ends + config.num_hidden_layers * between * config.hidden_size + max(blocks)
    return ends + sum(kept * count for kept, count in blocks.items())


def head_bytes(config: EncoderConfig, kernels: Kernels, masked: int, sequences: int, *, transform: bool = True) -> int:
    """Bytes that both pre-training heads keep of M masked tokens and B sequences."""
    hidden = config.hidden_size
    decoder = FP32 * config.vocab_size * (hidden + 1)
    # The transform's input, before its activation, before its norm, and the gradient that cross-entropy has made.
    kept = (2 * kernels.compute + 2 * FP32) * hidden + STATISTICS if transform else FP32 * hidden
    return decoder + masked * kept + sequences * 2 * kernels.compute * hidden
