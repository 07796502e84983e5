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
    config: Sized,
    work: Work,
    windows: Mapping[int | None, int],
    *,
    last: int | None = None,
    gated: bool = False,
    transform: bool = True,
    width: int | None = None,
) -> int:
    """Of matrix products that a loss needs, a multiply and an add each counted (2 m n k).

    Of the last block, what stands behind its queries is needed for the tokens that are read alone.

    Args:
        config: the shape.
        work: the size of the batch.
        windows: how many blocks see how far.
        last: how far the last one sees.
        gated: whether the first feed-forward layer is two.
        transform: whether a dense layer stands before the decoder.
        width: of the embeddings and of the decoder, where it is not that of the hidden states.
    """
    hidden = config.hidden_size
    width = hidden if width is None else width
    behind = hidden * hidden + (3 if gated else 2) * hidden * config.intermediate_size  # weights behind attention
    forward = config.num_hidden_layers * 2 * (3 * hidden * hidden + behind) * work.tokens
    forward += sum(blocks * 4 * hidden * work.attended[window] for window, blocks in windows.items())
    unread = work.tokens - work.read
    forward -= 2 * behind * unread + 4 * hidden * work.attended[last] * unread // max(1, work.tokens)
    forward += 2 * work.masked * width * (hidden * transform + config.vocab_size)
    forward += 2 * work.tokens * width * hidden if width != hidden else 0
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


def unread_bytes(
    config: Sized, kernels: Kernels, keys: float, *, norms: float, feed_forward: int = 2, whole: bool = True
) -> float:
    """Bytes that the last block, and the norm behind it, do not keep for a token that no head reads.

    Args:
        config: the shape.
        kernels: that compute it.
        keys: that a token sees.
        norms: bytes that the norms behind attention keep.
        feed_forward: see ``block_bytes``.
        whole: whether a token sees all of its sequence; then a CPU's kernel has queries of the others alone.
    """
    hidden, compute = config.hidden_size, kernels.compute
    if kernels.on_gpu or not whole:
        queries = 0.0 if kernels.packed else compute * hidden
    elif config.attention_probs_dropout_prob:
        queries = FP32 * (hidden + config.num_attention_heads * keys) + compute * hidden
    else:
        queries = compute * 2 * hidden + FP32 * config.num_attention_heads
    masks = 2 * hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    return queries + compute * (hidden + feed_forward * config.intermediate_size) + norms + masks


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
