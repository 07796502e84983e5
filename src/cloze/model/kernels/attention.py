"""Attention inside each sequence of a batch. Legend: see ``cloze.batch``."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.model.kernels.fused import HALF, KERNELS, suits_triton, varlen_has_windows
from cloze.model.kernels.reference import reference


class Padded(NamedTuple):
    """Rows (B, T) of sequences that are filled up with padding, for inference in formats that know no packed tokens.

    Attributes:
        input_ids: (B, T).
        token_type_ids: (B, T).
        position_ids: (T,).
        attention_mask: (B, T), 0 at padding.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor


Sequences = Packed | Padded


def attend(
    qkv: Tensor,
    sequences: Sequences,
    dropout: float,
    kernel: str = "auto",
    window: int | None = None,
    rows: Tensor | None = None,
) -> Tensor:
    """Softmax attention within each sequence.

    Args:
        qkv: (N, 3, H, K), queries, keys and values; in padded rows (B, T, 3, H, K).
        sequences: where they lie.
        dropout: the share of the probabilities that are dropped.
        kernel: ``triton``, ``varlen``, ``sdpa``, ``reference``, or ``auto`` for the fastest that can do it.
        window: how far a token sees to either side, ``|i - j| <= window``; None for all of its sequence.
        rows: (R,) the packed tokens whose results are wanted; None for all.

    Returns:
        (N, H, K), or of rows (R, H, K); zeros for tokens after the last sequence. In padded rows (B, T, H, K).

    Raises:
        ValueError: the kernel cannot honour the dropout, the precision or the device.
    """
    if isinstance(sequences, Padded):
        return _attend_padded(qkv, sequences.attention_mask, window)
    if kernel == "auto":
        kernel = fastest(qkv.device, qkv.dtype, dropout, qkv.shape[-1], window)
    if kernel == "reference":
        return reference(qkv, sequences, dropout, window, rows)
    mixed = KERNELS[kernel](qkv, sequences, dropout, window)
    return mixed if rows is None else mixed[rows]


def attention_weights(query: Tensor, key: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """(..., H, T, K) twice -> (..., H, T, T), written out; the bias is minus infinity, or nearly, where none may be."""
    return (query @ key.mT / math.sqrt(query.shape[-1]) + bias).softmax(-1)


def _attend_padded(qkv: Tensor, mask: Tensor, window: int | None) -> Tensor:
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, K)
    lowest = torch.finfo(qkv.dtype).min  # finite: a row of padding alone must not become NaN
    bias = (1.0 - mask[:, None, None, :].to(qkv.dtype)) * lowest  # (B, 1, 1, T)
    if window is not None:
        places = torch.arange(mask.shape[1], device=mask.device)
        bias = torch.where((places[:, None] - places).abs() <= window, bias, lowest)  # (B, 1, T, T)
    return (attention_weights(query, key, bias) @ value).transpose(1, 2)


def fastest(device: torch.device, dtype: torch.dtype, dropout: float, head_size: int, window: int | None = None) -> str:
    """What ``auto`` means: the kernel that does this with the least work, and off the CPU without a wait."""
    if device.type == "cpu":
        return "reference"
    if suits_triton(device, dtype, head_size):
        return "triton"
    if device.type == "cuda" and dtype in HALF and not dropout and (window is None or varlen_has_windows()):
        return "varlen"
    return "sdpa"
